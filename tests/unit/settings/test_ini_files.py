"""Reading ini files: Circus's rules, and a place for every error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaussette.errors import ConfigError
from chaussette.settings.ini import IniFile, parse_lines, read_ini


def read(folder: Path, text: str, **others: str) -> IniFile:
    for name, content in others.items():
        (folder / f"{name}.ini").write_text(content, "utf-8")
    path = folder / "main.ini"
    path.write_bytes(text.encode())
    return read_ini(str(path))


def value(text: str, key: str = "k") -> str:
    found = {entry.key: entry.value for _, entry in parse_lines(f"[s]\n{text}", "f")}
    return found[key]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("k = v", "v"),
        ("k: v", "v"),
        ("k=v=w:x", "v=w:x"),
        ("k = v ; a comment", "v"),
        ("k = v;no comment", "v;no comment"),
        ("k = a # no comment", "a # no comment"),
        ("k = ; only a comment", ""),
        ('k = ""', ""),
        ('k = "" ; nothing', ""),
        ("k = one\n  two ; second\n\tthree", "one\ntwo\nthree"),
        ("k = one\n# between\n  two", "one\ntwo"),
        ("k = one\n  rem two", "one\nrem two"),
        ("k =\n  later", "later"),
        ("k = a\x0cb\u2028c", "a\x0cb\u2028c"),
        ("rem k = 1\nREM k = 2\nk = 3", "3"),
        ("; k = 1\n# k = 2\nk = 3", "3"),
        ("remember = 1\nk = 2", "2"),
    ],
)
def test_values(text: str, expected: str) -> None:
    assert value(text) == expected


def test_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    ini = read(tmp_path, "\ufeff[circus]\r\numask = 022\r\n")
    assert ini.sections["circus"].texts() == {"umask": "022"}


def test_keys_are_lower_case_but_in_env(tmp_path: Path) -> None:
    ini = read(tmp_path, "[watcher:w]\nCMD = x\n[env]\nPath = /a\npath = /b\n[env:w]\nX = 1\n")
    assert ini.sections["watcher:w"].texts() == {"cmd": "x"}
    assert ini.sections["env"].texts() == {"Path": "/a", "path": "/b"}
    assert ini.sections["env:w"].texts() == {"X": "1"}


def test_first_value_wins_and_is_told_unless_it_overrides_an_include(tmp_path: Path) -> None:
    ini = read(
        tmp_path,
        "[circus]\ninclude = more*.ini\n[watcher:w]\ncmd = mine\n",
        more1="[watcher:w]\ncmd = theirs\nargs = x\n",
        more2="[watcher:w]\nargs = y\n[watcher:v]\ncmd = z\n",
    )
    assert ini.sections["watcher:w"].texts() == {"cmd": "mine", "args": "x"}
    assert ini.sections["watcher:v"].texts() == {"cmd": "z"}
    assert len(ini.warnings) == 1
    assert ini.warnings[0].startswith(f"{tmp_path}/more2.ini:2: args")
    assert f"{tmp_path}/more1.ini:3" in ini.warnings[0]
    assert [Path(name).name for name in ini.files] == ["main.ini", "more1.ini", "more2.ini"]


def test_directories_are_read_in_order_and_a_file_only_once(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    for name in ("b", "a"):
        (tmp_path / "conf.d" / f"{name}.ini").write_text(f"[watcher:{name}]\ncmd = x\n")
    (tmp_path / "conf.d" / "ignored.txt").write_text("not ini")
    ini = read(tmp_path, "[circus]\ninclude_dir = conf.d\ninclude = main.ini conf.d/a.ini\n")
    assert list(ini.sections) == ["circus", "watcher:a", "watcher:b"]
    assert not ini.warnings


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("[circus]\nno sign\n", ":2", "expected `key = value`"),
        ("key = 1\n", ":1", "before the first [section]"),
        ("[circus]\n\ninclude = gone.ini\n", ":3", "no file 'gone.ini'"),
        ("[circus]\ninclude_dir = gone\n", ":2", "no directory 'gone'"),
        ("  [indented]\n", ":1", "expected"),
        ("[unclosed\n", ":1", "expected"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, place: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/main.ini{place}: ")
    assert says in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for content in (None, b"\xff\xfe\x00"):
        path = tmp_path / "x.ini"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=re.escape(str(path))):
            read_ini(str(path))


@given(st.text() | st.text(st.sampled_from('[]a:b= \n\t;#"rem\r')))
def test_any_text_is_read_or_refused_with_its_line(text: str) -> None:
    try:
        entries = list(parse_lines(text, "some.ini"))
    except ConfigError as error:
        assert re.match(r"some\.ini:\d+: ", str(error))
        return
    for section, entry in entries:
        assert section or not entry.key
        assert 1 <= entry.line <= text.count("\n") + 1


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.ini"
    path.write_bytes(content)
    try:
        assert isinstance(read_ini(str(path)), IniFile)
    except ConfigError as error:
        assert str(path) in str(error)


def test_included_files_may_include_others_beside_them(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.ini").write_text(
        "[circus]\ninclude = more/b.ini\n[watcher:v]\ncmd = a\n"
    )
    (tmp_path / "conf.d" / "more").mkdir()
    (tmp_path / "conf.d" / "more" / "b.ini").write_text(
        "[watcher:u]\ncmd = b\n[watcher:v]\nargs = b\n"
    )
    ini = read(tmp_path, "[circus]\ninclude_dir = conf.d\n[watcher:w]\ncmd = mine\n")
    assert [Path(name).name for name in ini.files] == ["main.ini", "a.ini", "b.ini"]
    assert ini.sections["watcher:v"].texts() == {"cmd": "a", "args": "b"}
    assert ini.sections["circus"].texts() == {"include_dir": "conf.d"}
    assert not ini.warnings


def test_a_circle_of_includes_is_told_and_ends(tmp_path: Path) -> None:
    ini = read(
        tmp_path,
        "[circus]\ninclude = one.ini\n",
        one="[circus]\ninclude = two.ini\n[watcher:a]\ncmd = x\n",
        two="[circus]\ninclude = one.ini\n[watcher:b]\ncmd = x\n",
    )
    assert list(ini.sections) == ["circus", "watcher:a", "watcher:b"]
    (line,) = ini.warnings
    assert line.startswith(f"{tmp_path}/two.ini: include leads back to itself: ")
    assert line.endswith(f"{tmp_path}/one.ini -> {tmp_path}/two.ini -> {tmp_path}/one.ini")


def test_a_file_that_an_included_file_names_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"one\.ini:2: include: no file 'gone\.ini'"):
        read(tmp_path, "[circus]\ninclude = one.ini\n", one="[circus]\ninclude = gone.ini\n")
