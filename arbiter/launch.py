"""Runs inside the new process, before the program: what no spawn call can set.

Started by file name with `python -I -S`, so it may import only what is quick
and must not import anything of ours. It enters its control group, sets resource
limits, then drops privileges (in that order, because the former need them), and
becomes the program by execve(2): the pid stays.
"""

import json
import os
import resource
import sys


def main(spec: str, program: str, argv: list[str]) -> None:
    """`spec` is JSON: doors [path], moves [[fd, fd]], limits {number: value}, groups, gid, uid,
    listen_pid.
    """
    wanted = json.loads(spec)
    for path in wanted.get("doors", ()):
        # Into its control group first: whatever it starts later is in there, too.
        with open(path, "w") as procs:  # noqa: PTH123 - pathlib takes longer than the rest
            procs.write("0")
    moves = wanted.get("moves", ())
    for fd, to in moves:  # ascending, and never upwards: none is overwritten before its turn
        if fd != to:
            os.dup2(fd, to)
    for fd, _ in moves:
        if fd not in [to for _, to in moves]:
            os.close(fd)
    for number, value in wanted.get("limits", {}).items():
        resource.setrlimit(int(number), (value, value))
    if wanted.get("groups") is not None:
        os.setgroups(wanted["groups"])
    if wanted.get("gid") is not None:
        os.setgid(wanted["gid"])
    if wanted.get("uid") is not None:
        os.setuid(wanted["uid"])
    env = dict(os.environ)
    if wanted.get("listen_pid"):
        env["LISTEN_PID"] = str(os.getpid())
    os.execve(program, argv, env)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3:])
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cannot start {sys.argv[2]}: {error}\n")
        os._exit(127)
