"""`[watcher:NAME]`: one command, how many of it, and what happens to them."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from chaussette.settings.declare import Change, declared, setting
from chaussette.settings.kinds import (
    BOOL,
    CPUS,
    MODE,
    PATH,
    SIGNAL,
    SIZE,
    TEXT,
    USER,
    WORDS,
    at_least,
    choice,
    fraction,
    integer,
    list_of,
    seconds,
)

RLIMITS = {
    name[7:].lower(): getattr(resource, name)
    for name in dir(resource)
    if name.startswith("RLIMIT_")
}
"""Names after `rlimit_` to the numbers of setrlimit(2)."""


@dataclass(frozen=True, kw_only=True)
class WatcherSettings:
    """How one group of identical processes is run."""

    name: str
    cmd: str = setting(
        "", TEXT, "The command; variables such as $(circus.sockets.web) are filled in."
    )
    args: str = setting("", TEXT, "Arguments after those of cmd.")
    numprocesses: int = setting(1, integer(0), "How many processes.", on_change=Change.NOTHING)
    warmup_delay: float = setting(
        0.0, seconds(), "Seconds between the starts of two processes.", on_change=Change.NOTHING
    )
    executable: str | None = setting(
        None, PATH, "Program to run; the command's first word is then argv[0]."
    )
    shell: bool = setting(False, BOOL, "Run the command through /bin/sh.")
    shell_args: str | None = setting(None, TEXT, "Arguments of the shell itself, such as -e.")
    working_dir: str | None = setting(
        None, PATH, "Directory the processes start in.", aliases=("working_directory",)
    )
    uid: str | None = setting(None, USER, "User the processes run as.")
    gid: str | None = setting(None, USER, "Group the processes run as; none: the user's.")
    umask: int | None = setting(None, MODE, "File mode mask of the processes.")
    copy_env: bool = setting(
        False, BOOL, "Start from the arbiter's environment rather than an empty one."
    )
    copy_path: bool = setting(False, BOOL, "Hand the arbiter's sys.path on as PYTHONPATH.")
    virtualenv: str | None = setting(
        None, PATH, "Virtual environment whose programs and packages are used."
    )
    virtualenv_py_ver: str | None = setting(
        None, TEXT, "Python version inside the virtual environment, such as 3.11."
    )
    autostart: bool = setting(True, BOOL, "Start with the arbiter.", on_change=Change.NOTHING)
    respawn: bool = setting(True, BOOL, "Replace a process that ends.", on_change=Change.NOTHING)
    max_retry: int = setting(
        5,
        integer(-1),
        "Failed starts in a row after which a process is given up; -1: never.",
        on_change=Change.NOTHING,
    )
    graceful_timeout: float = setting(
        30.0, seconds(), "Seconds between the stop signal and SIGKILL.", on_change=Change.NOTHING
    )
    stop_signal: int = setting(
        15, SIGNAL, "Signal that asks a process to end.", on_change=Change.NOTHING
    )
    stop_children: bool = setting(
        False,
        BOOL,
        "Send the stop signal to a process's descendants, too.",
        on_change=Change.NOTHING,
    )
    send_hup: bool = setting(
        False,
        BOOL,
        "A reload sends SIGHUP instead of replacing processes.",
        on_change=Change.NOTHING,
    )
    priority: int = setting(
        0, integer(), "Watchers with more are started first.", on_change=Change.NOTHING
    )
    singleton: bool = setting(False, BOOL, "At most one process, ever.", on_change=Change.NOTHING)
    use_sockets: bool = setting(False, BOOL, "Let the processes inherit the arbiter's sockets.")
    stdin_socket: str | None = setting(
        None, TEXT, "Socket that becomes file descriptor 0 (inetd style)."
    )
    on_demand: bool = setting(
        False,
        BOOL,
        "Start at the first connection to one of the sockets.",
        on_change=Change.NOTHING,
    )
    max_age: float = setting(
        0.0,
        seconds(),
        "Seconds after which a process is replaced; 0: never.",
        on_change=Change.NOTHING,
    )
    max_age_variance: float = setting(
        30.0,
        seconds(),
        "At most so many seconds are added to max_age, by chance.",
        on_change=Change.NOTHING,
    )
    close_child_stdin: bool = setting(True, BOOL, "Standard input is /dev/null.")
    close_child_stdout: bool = setting(False, BOOL, "Standard output is /dev/null.")
    close_child_stderr: bool = setting(False, BOOL, "Standard error is /dev/null.")
    check_flapping: bool = setting(
        True,
        BOOL,
        "Accepted for Circus's sake; restarts are always limited.",
        on_change=Change.NOTHING,
    )
    readiness: str = setting(
        "auto",
        choice("auto", "notify", "alive"),
        "When a process counts as started: when it says so (sd_notify), or when it has lived "
        "for ready_after; auto: notify for chaussette.",
        on_change=Change.NOTHING,
    )
    ready_after: float = setting(
        1.0,
        seconds(),
        "Seconds that a process must live to count as started, where it does not say so itself.",
        on_change=Change.NOTHING,
    )
    boot_timeout: float = setting(
        60.0,
        seconds(),
        "Seconds that a process has to say that it is ready; 0: no limit.",
        on_change=Change.NOTHING,
    )
    heartbeat_timeout: float = setting(
        30.0,
        seconds(),
        "Seconds without a heartbeat after which a worker is replaced; 0: never.",
        on_change=Change.NOTHING,
    )
    critical: bool = setting(
        False,
        BOOL,
        "The arbiter ends when this watcher cannot be kept running.",
        on_change=Change.NOTHING,
    )
    listen_pid: bool = setting(
        False, BOOL, "Set LISTEN_PID as well, for programs that insist on sd_listen_fds(3)."
    )
    containment: str | None = setting(
        None,
        choice("off", "best-effort", "strict"),
        "A control group (cgroup v2) for the watcher and one for each process. strict: no start "
        "where this machine cannot; best-effort: a warning; none: strict where a limit is set, "
        "or else off.",
    )
    memory_max: int | None = setting(
        None, at_least(2**20), "Memory of the watcher's processes together; beyond, they are ended."
    )
    memory_high: int | None = setting(
        None, at_least(2**20), "Memory beyond which the watcher's processes are slowed down."
    )
    cpu_max: float | None = setting(
        None, CPUS, "Processor time of the watcher's processes together; 1.5 and 150% are the same."
    )
    cpu_weight: int | None = setting(
        None, integer(1, 10000), "Share of processor time when it is short; others have 100."
    )
    pids_max: int | None = setting(
        None, integer(1), "Processes and threads of the watcher, all descendants included."
    )
    io_weight: int | None = setting(
        None, integer(1, 10000), "Share of the disks when they are busy; others have 100."
    )
    sockets: tuple[str, ...] = setting(
        (), list_of(TEXT), "Names of the sockets that use_sockets hands over; none: all of them."
    )
    hooks_timeout: float = setting(
        10.0,
        seconds(),
        "Seconds that a hook has for its answer; without one it has failed.",
        on_change=Change.NOTHING,
    )
    tail_bytes: int = setting(
        2**17,
        SIZE,
        "Bytes of last output that are kept in memory for `circusctl tail`; 0: none.",
        on_change=Change.NOTHING,
    )
    min_processes: int = setting(
        0,
        integer(0),
        "Fewest processes that scaling leaves; 0: 1.",
        on_change=Change.NOTHING,
    )
    max_processes: int = setting(
        0,
        integer(0),
        "Most processes that scaling starts; 0: numprocesses stays as it is.",
        on_change=Change.NOTHING,
    )
    scale_up_at: float = setting(
        0.8,
        fraction(),
        "How busy the processes are, on average over scale_up_after, when one more is started.",
        on_change=Change.NOTHING,
    )
    scale_down_at: float = setting(
        0.3,
        fraction(),
        "How busy they are at most, on average over scale_down_after, when one is ended.",
        on_change=Change.NOTHING,
    )
    scale_up_after: float = setting(
        5.0,
        seconds(),
        "Seconds that are looked at before a process is started for busyness.",
        on_change=Change.NOTHING,
    )
    scale_down_after: float = setting(
        60.0,
        seconds(),
        "Seconds that are looked at before a process is ended, and between two such ends.",
        on_change=Change.NOTHING,
    )
    scale_interval: float = setting(
        1.0,
        seconds(0.01),
        "Seconds between two looks at the figures, where max_processes is set.",
        on_change=Change.NOTHING,
    )
    scale_concurrency: int = setting(
        0,
        integer(0),
        "Requests that one process takes at a time when it is fully busy; "
        "0: as --threads in the command says.",
        on_change=Change.NOTHING,
    )
    hooks: Mapping[str, str] = field(default_factory=dict)
    rlimits: Mapping[str, int] = field(default_factory=dict)
    stdout_stream: Mapping[str, str] = field(default_factory=dict)
    stderr_stream: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    argv: tuple[str, ...] = setting(
        (), WORDS, "The command as words; for the library, where nothing is to be split."
    )


LIMITS = ("memory_max", "memory_high", "cpu_max", "cpu_weight", "pids_max", "io_weight")
"""The settings that a watcher's control group carries out."""


def within_limits(settings: WatcherSettings, count: int) -> int:
    """The nearest number of processes that a watcher may have."""
    if settings.max_processes:
        count = max(settings.min_processes, 1, min(count, settings.max_processes))
    return max(0, min(count, 1) if settings.singleton else count)


def scaling_faults(settings: WatcherSettings) -> Iterator[str]:
    """What is wrong with the settings of scaling, in a line each."""
    low, high = settings.min_processes, settings.max_processes
    if not high:
        if low:
            yield f"min_processes = {low} needs max_processes: how many may there be?"
        return
    if low > high:
        yield f"min_processes = {low} is more than max_processes = {high}"
    elif not max(low, 1) <= settings.numprocesses <= high:
        yield (
            f"numprocesses = {settings.numprocesses}: expected {max(low, 1)} to {high} "
            "(min_processes, max_processes)"
        )
    if settings.scale_down_at >= settings.scale_up_at:
        yield (
            f"scale_down_at = {settings.scale_down_at:g}: "
            f"expected less than scale_up_at = {settings.scale_up_at:g}"
        )
    if settings.singleton and high > 1:
        yield f"max_processes = {high}, but it is a singleton"
    if not settings.respawn:
        yield "max_processes keeps the number of processes up, but respawn is off"


def tuned(settings: WatcherSettings, by: WatcherSettings) -> WatcherSettings:
    """The settings with all values of `by` that take effect without new processes."""
    at_once = [
        name
        for name, (what, _) in declared(WatcherSettings).items()
        if what.on_change is Change.NOTHING
    ]
    if _limits_follow(settings, by):
        at_once += LIMITS
    return replace(settings, **{name: getattr(by, name) for name in (*at_once, *_NOT_PASSED)})


def containment_mode(settings: WatcherSettings) -> str:
    """off, best-effort or strict; strict where a limit is set and nothing is said."""
    if settings.containment is not None:
        return settings.containment
    return "strict" if _limited(settings) else "off"


def _limits_follow(settings: WatcherSettings, by: WatcherSettings) -> bool:
    """Whether processes that run can be given the other limits: they are in their group already."""
    modes = {containment_mode(settings), containment_mode(by)}
    if len(modes) > 1 or modes == {"off"}:
        return False
    # With best-effort, a limit that is new may need a v1 group that they are not in.
    return modes == {"strict"} or _limited(by) <= _limited(settings)


def _limited(settings: WatcherSettings) -> set[str]:
    return {name for name in LIMITS if getattr(settings, name) is not None}


_NOT_PASSED = ("hooks", "options")
"""What no process is given."""
