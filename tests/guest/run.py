"""Runs a command in a virtual machine whose kernel has all controllers in cgroup v2.

    python tests/guest/run.py --kernel DIR [--timeout S] -- COMMAND...

Control groups cannot be tried for real where the machine's controllers belong to
v1. This boots a kernel of Debian's under qemu, with this machine's files below
it, read only, and what is written in memory. Nothing has to be installed in
it: programs, Python and the repository are those of this machine. The command's
exit code is the script's.

DIR holds an unpacked kernel package:

    apt-get install qemu-system-x86 busybox-static cpio kmod
    apt-get download linux-image-6.1.0-NN-amd64 && dpkg -x linux-image-*.deb DIR

The command runs as root in a group of its own below the root group, with memory,
cpu, pids and io handed out to it, as systemd does with Delegate=yes.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NEEDED = ("qemu-system-x86_64", "busybox", "cpio", "modprobe", "depmod")
BOUND = 120
"""Seconds that the tests wait for anything: all is slower by ten and more there."""
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
SAID = re.compile(r"^GUEST EXIT (\d+)\s*$", re.MULTILINE)
INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /host /top /new
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for one in {modules}; do /bin/busybox insmod /modules/$one; done
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose host /host
/bin/busybox mount -t tmpfs -o size=1g top /top
/bin/busybox mkdir /top/up /top/work
/bin/busybox mount -t overlay -o lowerdir=/host,upperdir=/top/up,workdir=/top/work over /new
for one in proc sys dev run tmp; do /bin/busybox mkdir -p /new/$one; done
/bin/busybox mount -t proc proc /new/proc
/bin/busybox mount -t sysfs sys /new/sys
/bin/busybox mount -t devtmpfs dev /new/dev
/bin/busybox mkdir -p /new/dev/shm /new/dev/pts
/bin/busybox mount -t tmpfs shm /new/dev/shm
/bin/busybox mount -t devpts pts /new/dev/pts
/bin/busybox mount -t tmpfs run /new/run
/bin/busybox mount -t cgroup2 none /new/sys/fs/cgroup
/bin/busybox ip link set lo up
echo '+memory +cpu +pids +io' > /new/sys/fs/cgroup/cgroup.subtree_control
/bin/busybox mkdir /new/sys/fs/cgroup/service
echo '+memory +cpu +pids +io' > /new/sys/fs/cgroup/service/cgroup.subtree_control
/bin/busybox mkdir /new/sys/fs/cgroup/service/tests
echo 0 > /new/sys/fs/cgroup/service/tests/cgroup.procs
/bin/busybox chroot /new /bin/sh -c {command}
echo "GUEST EXIT $?"
/bin/busybox poweroff -f
"""


def main() -> int:
    """Boots, runs, and hands the exit code on."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--kernel", type=Path, required=True, metavar="DIR")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="S")
    parser.add_argument("--accel", default="tcg", help="kvm, where it works; tcg is software")
    parser.add_argument("--memory", default="2G")
    parser.add_argument("command", nargs="+")
    wanted = parser.parse_args()
    if missing := [name for name in NEEDED if shutil.which(name, path=_path()) is None]:
        sys.exit(f"not installed: {', '.join(missing)}; see the head of {__file__}")
    kernels = sorted((wanted.kernel / "boot").glob("vmlinuz-*"))
    if not kernels:
        sys.exit(f"{wanted.kernel}/boot: no vmlinuz-*; unpack a kernel package there")
    with tempfile.TemporaryDirectory(prefix="guest-") as folder:
        initrd = _make_initrd(Path(folder), wanted.kernel, kernels[-1], wanted.command)
        return _boot(kernels[-1], initrd, wanted.accel, wanted.memory, wanted.timeout)


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def _make_initrd(folder: Path, root: Path, kernel: Path, command: list[str]) -> Path:
    version = kernel.name.partition("-")[2]
    tree = folder / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "modules").mkdir()
    shutil.copy(shutil.which("busybox") or "", tree / "bin" / "busybox")
    names = [_copy(module, tree / "modules") for module in _modules(root, version)]
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "CI") if name in os.environ}
    kept["TEST_BOUND"] = str(BOUND)
    before = " ".join(f"{name}={shlex.quote(value)}" for name, value in kept.items())
    line = f"cd {shlex.quote(os.getcwd())} && exec env HOME=/tmp {before} {shlex.join(command)}"
    init = tree / "init"
    init.write_text(INIT.format(modules=" ".join(names), command=shlex.quote(line)), "utf-8")
    init.chmod(0o755)
    initrd = folder / "initrd"
    files = subprocess.run(["find", "."], cwd=tree, capture_output=True, check=True).stdout
    with initrd.open("wb") as out:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=tree, input=files,
                       stdout=out, check=True)  # fmt: skip
    return initrd


def _modules(root: Path, version: str) -> list[Path]:
    """The modules, those that they need before them. What is built in has no file."""
    path = {**os.environ, "PATH": _path()}
    subprocess.run(["depmod", "-b", str(root), version], check=True, env=path)
    found: list[Path] = []
    for name in MODULES:
        told = subprocess.run(
            ["modprobe", "-d", str(root), "-S", version, "--show-depends", name],
            capture_output=True, text=True, check=True, env=path,
        ).stdout  # fmt: skip
        files = [Path(line.split()[1]) for line in told.splitlines() if line.startswith("insmod")]
        found += [file for file in files if file not in found]
    return found


def _copy(module: Path, to: Path) -> str:
    shutil.copy(module, to)
    return module.name


def _boot(kernel: Path, initrd: Path, accelerator: str, memory: str, timeout: float) -> int:
    """Shows what the guest says; its exit code, or 124 when it did not end in time."""
    argv = [
        "qemu-system-x86_64", "-accel", accelerator, "-m", memory, "-smp", "2",
        "-nographic", "-no-reboot", "-nic", "none", "-kernel", str(kernel), "-initrd", str(initrd),
        "-append", "console=ttyS0 quiet panic=-1 psi=1 cgroup_no_v1=all",
        "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
    ]  # fmt: skip
    guest = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        out, _ = guest.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        guest.kill()
        out, _ = guest.communicate()
    text = out.decode("utf-8", "replace").replace("\r\n", "\n")
    found = SAID.search(text)
    sys.stdout.write(SAID.sub("", text) if found else f"{text}\nthe guest did not end in time\n")
    return int(found[1]) if found else 124


if __name__ == "__main__":
    sys.exit(main())
