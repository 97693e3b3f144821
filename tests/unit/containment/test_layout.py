"""What /proc says of control groups, read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaussette.arbiter.containment.layout import (
    Mount,
    before_move,
    folder_of,
    parse_groups,
    parse_mounts,
)

HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 /a\\040b /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_mounts_of_a_hybrid_machine() -> None:
    memory, cpu, unified = parse_mounts(HYBRID)
    assert memory.point == "/sys/fs/cgroup/memory" and "memory" in memory.controllers
    assert {"cpu", "cpuacct"} <= cpu.controllers and not cpu.is_v2
    assert unified == Mount("/sys/fs/cgroup/unified", "/a b", True)


def test_groups() -> None:
    text = "9:name=systemd:/\n4:memory:/a:b\n2:cpu,cpuacct:/c\n0::/x.service (deleted)\nnonsense\n"
    assert parse_groups(text) == {
        "name=systemd": "/",
        "memory": "/a:b",
        "cpu": "/c",
        "cpuacct": "/c",
        "": "/x.service",
    }


def test_where_a_group_is_seen() -> None:
    whole = Mount("/sys/fs/cgroup", "/", True)
    part = Mount("/mnt", "/box", True)
    assert folder_of(whole, "/") == "/sys/fs/cgroup"
    assert folder_of(whole, "/system.slice/x.service") == "/sys/fs/cgroup/system.slice/x.service"
    assert folder_of(part, "/box/a") == "/mnt/a"
    assert folder_of(part, "/boxer") is None
    assert folder_of(whole, "/../elsewhere") is None


def test_an_arbiter_that_has_moved_knows_where_it_came_from() -> None:
    assert before_move("/x.service/chaussette-7-99/arbiter", 7) == "/x.service"
    assert before_move("/chaussette-7-99/arbiter", 7) == "/"
    assert before_move("/chaussette-7-99/arbiter", 8) == "/chaussette-7-99/arbiter"
    assert before_move("/chaussette-7-99/w-a/p-1", 7) == "/chaussette-7-99/w-a/p-1"


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PATH = st.lists(st.sampled_from(["a", "b", "..", "c d"]), max_size=5).map(
    lambda parts: "/" + "/".join(parts)
)


@given(TEXT)
def test_any_text_is_read(text: str) -> None:
    parse_mounts(text)
    parse_mounts(f"1 2 0:3 / /x rw - cgroup2 {text}")
    parse_groups(text)
    parse_groups(f"0::{text}")


@given(PATH, PATH)
def test_nothing_outside_of_the_mount_is_ever_named(root: str, path: str) -> None:
    folder = folder_of(Mount("/mnt/here", root, True), path)
    assert folder is None or folder == "/mnt/here" or folder.startswith("/mnt/here/")
