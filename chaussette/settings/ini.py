"""Reads Circus-style ini files, and remembers where every value stands.

Circus's rules: sections with one name are merged; the first value of a key
wins, so an included file cannot override the file that includes it (files may include
further ones, which come behind them); `#`, `;`
and `rem` start comment lines, and ` ;` a comment behind a value; indented lines
carry a value on; `""` is the empty text. No meaning is given to any key here.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaussette.errors import ConfigError

_SECTION = re.compile(r"\[([^\]]+)\]\s*(?:[;#].*)?$")
_OPTION = re.compile(r"([^:=\s][^:=]*?)\s*[:=]\s*(.*)$")


@dataclass(frozen=True)
class Entry:
    """One value and its place: `file` is a path, `line` counts from 1."""

    key: str
    value: str
    file: str
    line: int

    @property
    def place(self) -> str:
        """The place as an error message names it."""
        return f"{self.file}:{self.line}"


@dataclass
class Section:
    """All entries of one section, from whatever file; keys are lower case but in [env]."""

    name: str
    place: str
    entries: dict[str, Entry] = field(default_factory=dict)

    def texts(self) -> dict[str, str]:
        """Keys to texts."""
        return {key: entry.value for key, entry in self.entries.items()}


@dataclass
class IniFile:
    """Sections by name, in the order of their first appearance."""

    sections: dict[str, Section] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)


def read_ini(path: str) -> IniFile:
    """The file and all that it includes. Raises ConfigError."""
    result = IniFile()
    _read(result, Path(path), ())
    return result


def parse_lines(text: str, file: str) -> Iterator[tuple[str, Entry]]:
    """Yields (section, entry); raises ConfigError for a line that is none.

    A section header is yielded once with an entry whose key is empty, so that
    an empty section is seen as well.
    """
    section = ""
    pending: Entry | None = None
    # Not splitlines(): a value may hold a form feed or U+2028.
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip()
        if not line.strip() or _is_comment(line):
            continue
        if line[0] in " \t" and pending is not None:
            more = _strip_comment(line.strip())
            pending = Entry(pending.key, f"{pending.value}\n{more}".strip(), file, pending.line)
            continue
        if pending is not None:
            yield section, pending
            pending = None
        if header := _SECTION.match(line):
            section = header[1].strip()
            yield section, Entry("", "", file, number)
        else:
            pending = _option(line, section, file, number)
    if pending is not None:
        yield section, pending


def _option(line: str, section: str, file: str, number: int) -> Entry:
    match = _OPTION.match(line)
    if match is None:
        raise ConfigError(f"{file}:{number}: expected `key = value` or `[section]`, found {line!r}")
    if not section:
        raise ConfigError(f"{file}:{number}: {match[1]!r} stands before the first [section]")
    value = _strip_comment(match[2].strip())
    return Entry(match[1].strip(), "" if value == '""' else value, file, number)


def _is_comment(line: str) -> bool:
    return line[0] in "#;" or (line[0] in "rR" and line.split(None, 1)[0].lower() == "rem")


def _strip_comment(value: str) -> str:
    if value.startswith(";"):
        return ""
    at = value.find(" ;")
    return value if at < 0 else value[:at].rstrip()


def _read(result: IniFile, path: Path, above: tuple[Path, ...]) -> None:
    """Merges a file, and those that it includes behind it; `above` are those that led here.

    A file is read once, whoever includes it. A circle is told, and not followed.
    """
    here = path.resolve()
    if here in above[:-1]:  # a glob that finds its own file is no fault
        chain = " -> ".join(str(one) for one in (*above[above.index(here) :], here))
        result.warnings.append(f"{above[-1]}: include leads back to itself: {chain}")
    if here in result.seen:
        return
    result.seen.add(here)
    includes = _merge_file(result, path)
    for extra in _included(includes, path.parent):
        _read(result, extra, (*above, here))


def _merge_file(result: IniFile, path: Path) -> dict[str, Entry]:
    """Adds the file's entries to the sections; returns what it includes."""
    includes: dict[str, Entry] = {}
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    result.files.append(str(path))
    for name, entry in parse_lines(text, str(path)):
        section = result.sections.setdefault(name, Section(name, entry.place))
        if entry.key:
            _add(result, section, entry)
        if name == "circus" and entry.key.lower() in ("include", "include_dir"):
            includes.setdefault(entry.key.lower(), entry)
    return includes


def _add(result: IniFile, section: Section, entry: Entry) -> None:
    is_env = section.name == "env" or section.name.startswith("env:")
    key = entry.key if is_env else entry.key.lower()
    if section.name == "circus" and key.startswith("include") and entry.file != result.files[0]:
        return  # followed, but no setting of the main file
    first = section.entries.setdefault(key, entry)
    if first is entry:
        return
    # That the including file overrides an included one is meant; all else is told.
    if first.file == entry.file or first.file != result.files[0]:
        result.warnings.append(
            f"{entry.place}: {entry.key} in [{section.name}] is set already at {first.place}; "
            "the first value is used"
        )


def _included(entries: dict[str, Entry], base: Path) -> Iterator[Path]:
    """The files that a file names; relative to its own directory."""
    if "include" in entries:
        for pattern in entries["include"].value.split():
            found = sorted(glob.glob(str(base / pattern)))
            if not found and not glob.has_magic(pattern):
                raise ConfigError(f"{entries['include'].place}: include: no file {pattern!r}")
            yield from map(Path, found)
    if "include_dir" in entries:
        for name in entries["include_dir"].value.split():
            if not (base / name).is_dir():
                raise ConfigError(
                    f"{entries['include_dir'].place}: include_dir: no directory {name!r}"
                )
            yield from sorted((base / name).glob("*.ini"))
