"""The interactive circusctl: a prompt, completion, and a history that is kept."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chaussette.cli.circusctl import USAGE_ERROR, Flags, fail, help_text, run_words
from chaussette.cli.ctlwords import asker, candidates
from chaussette.cli.keys import run as run_keys
from chaussette.control.client import Client
from chaussette.errors import ChaussetteError
from chaussette.version import __version__

PROMPT = "(circusctl) "
HISTORY = "CIRCUSCTL_HISTORY"
LONGEST_HISTORY = 1000


class Shell:
    """Reads lines until there are no more, and runs each as a command line."""

    def __init__(self, client: Client, flags: Flags) -> None:
        self._client = client
        self._flags = flags
        self._found: list[str] = []
        self._readline = _readline() if sys.stdin.isatty() else None

    def run(self) -> int:
        """Banner, status, then a prompt until ^D, `exit` or ^C; the exit code."""
        print(f"circusctl {__version__}")  # noqa: T201 - a shell talks
        self.do("status")
        with self._editing():
            while True:
                try:
                    line = input(PROMPT).strip()
                except (EOFError, KeyboardInterrupt):
                    print()  # noqa: T201
                    return 0
                if line in ("exit", "EOF"):
                    return 0
                with contextlib.suppress(KeyboardInterrupt):
                    self.do(line)

    def do(self, line: str) -> int:
        """Runs one line; an error is told and ends nothing."""
        try:
            words = shlex.split(line)
            if not words:
                return 0
            if words[0] in ("help", "?"):
                print(help_text(words[1:]))  # noqa: T201
                return 0
            if words[0] == "keys":
                return run_keys(words[1:])
            return run_words(self._client, self._flags, words)
        except ValueError as error:
            return fail(f"{line!r}: {error}", USAGE_ERROR)
        except ChaussetteError as error:
            return fail(str(error), USAGE_ERROR)

    def complete(self, text: str, state: int) -> str | None:
        """The candidate number `state`; what readline asks for."""
        if state == 0:
            begin = self._readline.get_begidx() if self._readline else 0
            line = self._readline.get_line_buffer() if self._readline else ""
            try:
                before = shlex.split(line[:begin])
            except ValueError:
                before = line[:begin].split()
            self._found = candidates(before, text, asker(self._client))
        return f"{self._found[state]} " if state < len(self._found) else None

    @contextlib.contextmanager
    def _editing(self) -> Iterator[None]:
        readline = self._readline
        if readline is None:
            yield
            return
        place = Path(os.environ.get(HISTORY) or Path.home() / ".circusctl_history")
        readline.set_completer(self.complete)
        readline.set_completer_delims(" \t\n")
        readline.parse_and_bind("tab: complete")
        readline.set_history_length(LONGEST_HISTORY)
        with contextlib.suppress(OSError):
            readline.read_history_file(place)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                readline.write_history_file(place)
                place.chmod(0o600)


def _readline() -> Any:
    """The module, or None where Python was built without it."""
    try:
        import readline
    except ImportError:
        return None
    return readline
