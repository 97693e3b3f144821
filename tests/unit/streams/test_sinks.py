"""Sinks and the end of a stream, without processes."""

from __future__ import annotations

import calendar
from pathlib import Path

import pytest

from chaussette.arbiter.loop import Loop
from chaussette.arbiter.sinks import check_sink, make_sink
from chaussette.arbiter.sinks.base import Origin
from chaussette.arbiter.sinks.rotating import TimedRotatingFileStream, next_turn
from chaussette.arbiter.tail import TailTable
from chaussette.control.tail import escaped
from chaussette.errors import ConfigError
from chaussette.settings.streams import TimedFileOptions, class_name
from chaussette.settings.watcher import WatcherSettings

OUT = Origin(7, "stdout")


@pytest.mark.parametrize(
    "name", ["FileStream", "circus.stream.FileStream", "circus.stream.file_stream.FileStream"]
)
def test_names_of_circus_are_ours(name: str) -> None:
    assert class_name({"class": name}) == "FileStream"


def test_wrong_options_name_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'backup_count'"):
        check_sink({"filename": str(tmp_path / "x"), "backup_cnt": "3"}, "stdout")
    with pytest.raises(ConfigError, match="filename is missing"):
        check_sink({"class": "FileStream"}, "stderr")
    assert not list(tmp_path.iterdir())


def test_rotation_keeps_lines_whole_and_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "o"
    sink = make_sink({"filename": str(path), "max_bytes": "10", "backup_count": "9"}, "stdout")
    for text in (b"1234\n5678\n", b"abc\n", b"a line that is longer\nx\n"):
        sink.write(text, OUT)
    sink.close()
    found = [
        one.read_text() for one in (tmp_path / "o.3", tmp_path / "o.2", tmp_path / "o.1", path)
    ]
    assert found == ["1234\n5678\n", "abc\n", "a line that is longer\n", "x\n"]


def test_a_watched_file_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "o"
    sink = make_sink({"class": "WatchedFileStream", "filename": str(path)}, "stdout")
    sink.write(b"one\n", OUT)
    path.rename(tmp_path / "old")
    sink.write(b"two\n", OUT)
    sink.close()
    assert path.read_text() == "two\n"


def test_time_format_is_before_each_line(tmp_path: Path) -> None:
    path = tmp_path / "o"
    sink = make_sink({"filename": str(path), "time_format": "T"}, "stdout")
    sink.write(b"a\n\nb\n", OUT)
    sink.close()
    assert path.read_text() == "T [7] | a\nT [7] | \nT [7] | b\n"


def test_a_file_is_rotated_by_the_clock(tmp_path: Path) -> None:
    now = [float(calendar.timegm((2026, 1, 1, 10, 0, 0)))]
    options = TimedFileOptions(
        filename=str(tmp_path / "o"), rotate_when="M", utc=True, backup_count=2
    )
    sink = TimedRotatingFileStream(options, clock=lambda: now[0])
    for minute in range(5):
        sink.write(b"%d\n" % minute, OUT)
        now[0] += 60
    sink.close()
    names = sorted(one.name for one in tmp_path.iterdir())
    assert names == ["o", "o.202601011002", "o.202601011003"]
    assert (tmp_path / "o.202601011002").read_text() == "2\n"


def test_turns_at_midnight_and_on_a_weekday() -> None:
    thursday = calendar.timegm((2026, 1, 1, 10, 0, 0))
    midnight = TimedFileOptions(filename="x", rotate_when="MIDNIGHT", utc=True)
    monday = TimedFileOptions(filename="x", rotate_when="W0", utc=True)
    assert next_turn(thursday, midnight) == calendar.timegm((2026, 1, 2, 0, 0, 0))
    assert next_turn(thursday, monday) == calendar.timegm((2026, 1, 6, 0, 0, 0))


def test_the_ring_is_bounded_and_knows_the_last_lines() -> None:
    loop = Loop()
    table = TailTable(loop)
    ring = table.ring(WatcherSettings(name="w", tail_bytes=8192), OUT)
    assert ring is not None
    for number in range(10_000):
        ring.add(b"line %d\n" % number)
    assert [one.text for one in ring.lines(2)] == ["line 9998", "line 9999"]
    assert len(ring.lines(10_000)) < 100
    ring.add(b"x" * 100_000 + b"\ny")
    assert [one.text for one in ring.lines(1)] == ["y"]
    table.gone("w", 7)
    assert [one.text for one in table.lines(["w"], 1)] == ["y"]
    loop.close()


def test_control_characters_do_not_reach_a_terminal() -> None:
    assert escaped("a\x1b[2Jé\t\x07") == "a\\x1b[2Jé\t\\x07"
