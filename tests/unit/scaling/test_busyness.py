"""How busy a worker was, from what its slot says at moments that happen to be looked at."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from chaussette.arbiter.scaling.measure import concurrency_of
from chaussette.busyness import Track, follow
from chaussette.scoreboard import SlotView, WorkerState
from chaussette.settings.watcher import WatcherSettings

MS = 1_000_000


def view(requests: int, busy_ms: float, in_flight: int) -> SlotView:
    return SlotView(WorkerState.SERVING, 7, in_flight, requests, int(busy_ms * MS), 0, 0, 0)


def seen(spans: list[tuple[float, float]], at: float) -> SlotView:
    """The slot at a moment (ms) of a worker that had requests in these spans."""
    over = [(began, ended) for began, ended in spans if ended <= at]
    return view(
        len(over),
        sum(ended - began for began, ended in over),
        sum(began <= at < ended for began, ended in spans),
    )


def shares(
    spans: list[tuple[float, float]], step: float, until: float, many: int = 1
) -> list[float]:
    track, found, at = Track(0), [], 0.0
    while at < until:
        at += step
        track, share = follow(track, seen(spans, at), int(at * MS), many)
        found.append(share)
    return found


def test_idle() -> None:
    assert shares([], 1000, 3000) == [0.0, 0.0, 0.0]


def test_a_long_request_is_busy_while_it_lasts_and_not_twice() -> None:
    found = shares([(0, 10_000)], 1000, 13_000)
    assert found[1:10] == [1.0] * 9
    assert found[10:] == [0.0] * 3


def test_short_requests() -> None:
    spans = [(at, at + 5.0) for at in range(1, 10_000, 10)]
    assert all(abs(share - 0.5) < 0.02 for share in shares(spans, 1000, 10_000))


def test_one_request_after_the_other_is_all_of_the_time() -> None:
    spans = [(at, at + 70.0) for at in range(0, 10_000, 70)]
    assert min(shares(spans, 200, 9_800)[1:]) > 0.95


def test_threads_share() -> None:
    spans = [(0.0, 4000.0), (0.0, 4000.0)]
    assert shares(spans, 1000, 4000, 4)[1:3] == [0.5, 0.5]


@given(
    st.lists(st.tuples(st.floats(0, 300), st.floats(1, 400)), min_size=10, max_size=60),
    st.sampled_from((50.0, 200.0, 1000.0)),
)
@settings(max_examples=60, deadline=None)
def test_on_average_it_is_what_it_was(pauses: list[tuple[float, float]], step: float) -> None:
    spans, at = [], 0.0
    for pause, length in pauses:
        spans.append((at + pause, at + pause + length))
        at += pause + length
    found = shares(spans, step, at)
    assert all(0.0 <= share <= 1.0 for share in found)
    truth = sum(length for _, length in pauses) / (len(found) * step)
    assert abs(sum(found) / len(found) - truth) < 0.15


def test_concurrency_is_what_the_command_says() -> None:
    def of(cmd: str, **other: int) -> int:
        return concurrency_of(WatcherSettings(name="w", cmd=cmd, **other))  # type: ignore[arg-type]

    assert of("chaussette app") == 1
    assert of("chaussette --threads 8 app") == 8
    assert of("chaussette app --threads=4") == 4
    assert of("chaussette --threads") == 1
    assert of("chaussette --threads 8 app", scale_concurrency=3) == 3
    assert of("it's broken") == 1
