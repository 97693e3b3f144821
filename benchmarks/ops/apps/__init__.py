"""The application that is served under load, as source for one version of it."""

from __future__ import annotations

from pathlib import Path

SLOW_SECONDS = 0.3
BIG = b"0123456789abcde\n" * 4096
"""64 KiB: enough to see an answer that is cut."""
_TEMPLATE = (Path(__file__).parent / "hello.py.txt").read_text()


def write_app(folder: Path, version: int = 1, boot_seconds: float = 0.0, body: str = "") -> None:
    """Writes version N of demo.py; `body` in place of it makes one that cannot be imported."""
    text = body or _TEMPLATE.replace("@VERSION@", str(version)).replace(
        "@BOOT_SECONDS@", repr(boot_seconds)
    )
    # A new file takes the old one's place at once: nobody imports half of it.
    fresh = folder / f"demo.{version}.new"
    fresh.write_text(text)
    fresh.replace(folder / "demo.py")
