"""What a process finds when it starts: environment, user, limits, command, directory."""

from __future__ import annotations

import ast
import grp
import os
import pwd
import sys
from pathlib import Path
from typing import Any

import pytest
from arbiter_under_test import Arbiters, listening, watcher

SHOW = """
import json, os, resource, sys
print('SHOWN', {
    'env': dict(os.environ), 'argv': sys.argv[1:], 'cwd': os.getcwd(),
    'ids': os.getresuid() + os.getresgid(), 'groups': sorted(os.getgroups()),
    'umask': os.umask(0), 'nofile': resource.getrlimit(resource.RLIMIT_NOFILE),
    'core': resource.getrlimit(resource.RLIMIT_CORE), 'session': os.getsid(0) == os.getpid(),
    'orig': open('/proc/self/cmdline').read().split(chr(0))[0],
    'stdin': os.readlink('/proc/self/fd/0'),
}, flush=True)
"""


def shown(arbiters: Arbiters, *sections: str, words: str = "", **options: Any) -> dict[str, Any]:
    """What a process of the watcher `w` with these options sees."""
    run = {key: options.pop(key) for key in ("environ", "circus") if key in options}
    command = options.pop("cmd", None) or arbiters.script("show.py", SHOW) + f" {words}"
    arbiter = arbiters(*sections, watcher("w", command, **{"respawn": False, **options}), **run)
    found = ast.literal_eval(arbiter.wait(r"^SHOWN (\{.*\})$")[1])
    arbiter.wait("has ended")
    assert isinstance(found, dict)
    return found


def plain(env: dict[str, str]) -> dict[str, str]:
    """Without what Python itself sets."""
    return {key: value for key, value in env.items() if key != "LC_CTYPE"}


def test_the_environment_is_empty_but_for_env(arbiters: Arbiters) -> None:
    found = shown(
        arbiters,
        "[env]\nA = 1\nHOME_OF = $HOME\n[env:w*]\nA = 2\nWID = $(circus.wid)\n[env:x]\nB = 1\n",
        environ={"HOME": "/somewhere", "SECRET": "x"},
    )
    assert plain(found["env"]) == {"A": "2", "HOME_OF": "/somewhere", "WID": "1"}
    assert found["session"] is True
    assert found["stdin"] == "/dev/null"


def test_copy_env_and_copy_path(arbiters: Arbiters) -> None:
    found = shown(
        arbiters,
        "[env]\nA = mine\n",
        copy_env=True,
        copy_path=True,
        environ={"A": "theirs", "KEPT": "1", "LISTEN_FDS": "5", "NOTIFY_SOCKET": "/x"},
    )
    env = found["env"]
    assert (env["A"], env["KEPT"]) == ("mine", "1")
    assert not {"LISTEN_FDS", "NOTIFY_SOCKET"} & set(env)
    assert "python3" in env["PYTHONPATH"]


def test_variables(arbiters: Arbiters, folder: Path) -> None:
    (folder / "dir-1").mkdir()
    found = shown(
        arbiters,
        "[env]\nNAME = my name\nW = ((circus.wid))\n",
        listening("web"),
        words="$(circus.wid) ((circus.sockets.web)) $(circus.env.HELLO) $(circus.unknown)",
        args="'$(circus.env.name)' $(circus.numprocesses) $(CIRCUS.MY_OPTION)",
        my_option="free",
        use_sockets=True,
        working_dir=f"{folder}/dir-$(circus.wid)",
        environ={"HELLO": "hello"},
    )
    assert found["argv"] == ["1", "3", "hello", "$(circus.unknown)", "my name", "1", "free"]
    assert found["cwd"] == f"{folder}/dir-1"
    assert found["env"]["W"] == "1"


def test_a_relative_program_in_a_relative_directory(arbiters: Arbiters, folder: Path) -> None:
    (folder / "sub").mkdir()
    program = folder / "sub" / "prog"
    program.write_text("#!/bin/sh\necho here $PWD\n")
    program.chmod(0o755)
    arbiter = arbiters(watcher("w", "./prog", working_dir="sub", respawn=False))
    arbiter.wait(f"^here {folder}/sub$")


def test_shell_lines_are_the_shells(arbiters: Arbiters) -> None:
    arbiter = arbiters(
        "[env]\nNAME = world\n",
        watcher(
            "w",
            'echo "hello $NAME" | tr a-z A-Z; echo $(circus.wid) $((1 + 1))',
            shell=True,
            respawn=False,
        ),
        environ={"PATH": os.environ["PATH"]},
    )
    arbiter.wait("^HELLO WORLD$")
    arbiter.wait("^1 2$")


def test_without_a_shell_nothing_is_one(arbiters: Arbiters) -> None:
    arbiter = arbiters(watcher("w", "echo 'a | b' $HOME *", respawn=False))
    arbiter.wait(r"^a \| b \$HOME \*$")


def test_executable_and_first_word(arbiters: Arbiters, folder: Path) -> None:
    script = folder / "show.py"
    script.write_text(SHOW)
    found = shown(arbiters, cmd=f"called-so {script} x", executable=sys.executable)
    assert found["orig"] == "called-so"
    assert found["argv"] == ["x"]


def test_limits_and_umask(arbiters: Arbiters) -> None:
    found = shown(arbiters, rlimit_nofile=123, rlimit_core=0, umask="027")
    assert found["nofile"] == (123, 123)
    assert found["core"] == (0, 0)
    assert found["umask"] == 0o27


def test_the_arbiters_umask_is_the_default(arbiters: Arbiters) -> None:
    assert shown(arbiters, circus="umask = 037")["umask"] == 0o37


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def identity(arbiters: Arbiters, **options: Any) -> tuple[int, int, list[int]]:
    """User, group and all groups of a process, told by a program that anybody may run."""
    command = "echo IS $(id -u) $(id -g) -- $(id -G)"
    arbiter = arbiters(watcher("w", command, shell=True, respawn=False, **options))
    said = arbiter.wait(r"^IS (\d+) (\d+) -- (.*)$")
    arbiter.wait("has ended")
    return int(said[1]), int(said[2]), sorted(int(one) for one in said[3].split())


@needs_root
@pytest.mark.parametrize("limits", [{}, {"rlimit_core": 0}])
def test_another_user_with_its_groups(arbiters: Arbiters, limits: dict[str, int]) -> None:
    """With limits, another way of starting is taken: it must come to the same."""
    user = pwd.getpwnam("nobody")
    groups = sorted(os.getgrouplist("nobody", user.pw_gid))
    assert identity(arbiters, uid="nobody", **limits) == (user.pw_uid, user.pw_gid, groups)


@needs_root
def test_another_group(arbiters: Arbiters) -> None:
    group = grp.getgrnam("daemon").gr_gid
    _, gid, groups = identity(arbiters, uid="nobody", gid="daemon")
    assert gid == group
    assert group in groups
    assert 0 not in groups


@needs_root
def test_a_number_without_an_entry_needs_a_group(arbiters: Arbiters) -> None:
    arbiter = arbiters(watcher("w", "true", uid=54321))
    assert arbiter.wait_end() == 1
    assert "set gid, too" in arbiter.log
    assert identity(arbiters, uid=54321, gid=54322) == (54321, 54322, [54322])


def test_closed_streams(arbiters: Arbiters, folder: Path) -> None:
    show = arbiters.script(
        "links.py",
        "import os\n"
        f"with open({str(folder / 'links')!r}, 'w') as out:\n"
        "    out.write(' '.join(os.readlink(f'/proc/self/fd/{fd}') for fd in range(3)))\n",
    )
    arbiter = arbiters(
        watcher("w", show, close_child_stdout=True, close_child_stderr=True, respawn=False)
    )
    arbiter.wait("has ended: exit code 0")
    assert (folder / "links").read_text() == "/dev/null /dev/null /dev/null"
