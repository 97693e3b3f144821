"""The plan, driven by simulated fleets until it is settled."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from chaussette.arbiter.lifecycle import State
from chaussette.arbiter.plan import SLICE, FleetView, Plan, ProcessView, Style, plan

STATES = (State.STARTING, State.READY, State.STOPPING)


def fleet(
    wanted: int,
    *processes: ProcessView,
    generation: int = 1,
    style: Style = Style.SWAP,
    surge: int | None = None,
    may_start: bool = True,
) -> FleetView:
    return FleetView(wanted, generation, processes, style, surge, may_start)


def process(
    pid: int, generation: int = 1, state: State = State.READY, retiring: bool = False
) -> ProcessView:
    return ProcessView(pid, generation, state, float(pid), retiring)


class Simulation:
    """A fleet that obeys every order; what happens next is drawn."""

    def __init__(self, view: FleetView, pick: Callable[[int], int]) -> None:
        self.view = view
        self.processes = {one.pid: one for one in view.processes}
        self.pick = pick
        self.next_pid = max(self.processes, default=0) + 1

    def now(self) -> FleetView:
        view = self.view
        return FleetView(
            view.wanted,
            view.generation,
            tuple(self.processes.values()),
            view.style,
            view.surge,
        )

    def obey(self, todo: Plan) -> None:
        for pid in todo.stop:
            self._become(pid, State.STOPPING)
        for _ in range(todo.start):
            self.processes[self.next_pid] = process(
                self.next_pid, self.view.generation, State.STARTING
            )
            self.next_pid += 1

    def happen(self) -> bool:
        """One process comes up or ends; False when none is about to."""
        moving = [one for one in self.processes.values() if one.state is not State.READY]
        if not moving:
            return False
        one = moving[self.pick(len(moving))]
        if one.state is State.STARTING:
            self._become(one.pid, State.READY)
        else:
            del self.processes[one.pid]
        return True

    def _become(self, pid: int, state: State) -> None:
        self.processes[pid] = self.processes[pid]._replace(state=state)

    def count(self, *states: State) -> int:
        return sum(one.state in states for one in self.processes.values())

    def run(self, check: Callable[[Simulation], None] = lambda _: None) -> None:
        for _ in range(1000):
            todo = plan(self.now())
            assert not (todo.settled and (todo.start or todo.stop))
            if todo.settled:
                return
            self.obey(todo)
            check(self)
            if not todo.start and not todo.stop:
                assert self.happen(), f"stuck: {self.now()}"
        raise AssertionError(f"not settled: {self.now()}")


@st.composite
def fleets(draw: st.DrawFn, style: Style | None = None, states: tuple[State, ...] = STATES):
    wanted = draw(st.integers(0, 20))
    count = draw(st.integers(0, 25))
    generation = draw(st.integers(1, 3))
    processes = [
        process(
            pid,
            draw(st.integers(1, 3)),
            draw(st.sampled_from(states)),
            draw(st.booleans()),
        )
        for pid in range(1, count + 1)
    ]
    return FleetView(
        wanted,
        generation,
        processes,
        style or draw(st.sampled_from(Style)),
        draw(st.none() | st.integers(0, 25)),
    )


def picker(data: st.DataObject) -> Callable[[int], int]:
    return lambda count: data.draw(st.integers(0, count - 1))


@given(fleets(), st.data())
@settings(deadline=None)
def test_every_fleet_settles(view: FleetView, data: st.DataObject) -> None:
    simulation = Simulation(view, picker(data))
    simulation.run()
    alive = list(simulation.processes.values())
    assert len(alive) == view.wanted
    assert all(one.generation == view.generation and not one.retiring for one in alive)
    assert all(one.state is State.READY for one in alive)


@given(st.integers(1, 12), st.none() | st.integers(0, 15), st.data())
@settings(deadline=None)
def test_swap_never_serves_with_fewer(wanted: int, surge: int | None, data: st.DataObject) -> None:
    old = [process(pid, 1) for pid in range(1, wanted + 1)]
    simulation = Simulation(FleetView(wanted, 2, old, surge=surge), picker(data))

    def check(now: Simulation) -> None:
        assert now.count(State.READY) >= wanted

    simulation.run(check)


@given(st.integers(1, 12), st.integers(0, 15), st.data())
@settings(deadline=None)
def test_swap_never_runs_more_than_the_surge_allows(
    wanted: int, surge: int, data: st.DataObject
) -> None:
    """Those that are ending still hold their memory, so they count."""
    old = [process(pid, 1) for pid in range(1, wanted + 1)]
    simulation = Simulation(FleetView(wanted, 2, old, surge=surge), picker(data))

    def check(now: Simulation) -> None:
        assert len(now.processes) <= wanted + max(1, surge)

    simulation.run(check)


@given(fleets(style=Style.STOP_FIRST), st.data())
@settings(deadline=None)
def test_stop_first_never_overlaps(view: FleetView, data: st.DataObject) -> None:
    simulation = Simulation(view, picker(data))
    old = {one.pid for one in view.processes if one.generation != view.generation or one.retiring}
    first_new = simulation.next_pid

    def check(now: Simulation) -> None:
        if any(pid >= first_new for pid in now.processes):
            assert not old & set(now.processes)

    simulation.run(check)


@given(fleets())
def test_nothing_is_started_while_it_may_not(view: FleetView) -> None:
    held = FleetView(view.wanted, view.generation, view.processes, view.style, view.surge, False)
    assert plan(held).start == 0


@given(fleets())
def test_orders_are_few_and_for_those_who_live(view: FleetView) -> None:
    todo = plan(view)
    stoppable = {one.pid for one in view.processes if one.state is not State.STOPPING}
    assert set(todo.stop) <= stoppable
    assert len(set(todo.stop)) == len(todo.stop)
    assert 0 <= todo.start <= SLICE


def test_decr_stops_the_oldest() -> None:
    todo = plan(fleet(2, *(process(pid) for pid in (5, 3, 9, 7))))
    assert todo == Plan(stop=(3, 5))


def test_a_start_is_made_in_slices() -> None:
    assert plan(fleet(500)).start == SLICE


def test_old_ones_stay_until_all_new_ones_are_ready() -> None:
    old = [process(1), process(2)]
    new = [process(3, 2), process(4, 2, State.STARTING)]
    assert plan(fleet(2, *old, *new, generation=2)) == Plan()
    new[1] = process(4, 2)
    assert plan(fleet(2, *old, *new, generation=2)).stop == (1, 2)


def test_fall_back_keeps_those_who_serve_and_ends_the_newcomers() -> None:
    """After a failed reload the wanted generation is the old one again."""
    old = [process(1), process(2)]
    failed = [process(3, 2, State.STARTING)]
    assert plan(fleet(2, *old, *failed, generation=1)) == Plan(stop=(3,))


def test_a_retiring_process_goes_once_its_successor_is_ready() -> None:
    one, other = process(1, retiring=True), process(2)
    assert plan(fleet(2, one, other)) == Plan(start=1)
    assert plan(fleet(2, one, other, process(3, state=State.STARTING))) == Plan()
    assert plan(fleet(2, one, other, process(3))) == Plan(stop=(1,))


def test_nothing_wanted_stops_everything_at_once() -> None:
    processes = [process(1), process(2, state=State.STARTING), process(3, 2)]
    assert set(plan(fleet(0, *processes)).stop) == {1, 2, 3}
    assert plan(fleet(0)).settled


def test_not_settled_while_one_is_still_ending() -> None:
    assert not plan(fleet(1, process(1), process(2, state=State.STOPPING))).settled
