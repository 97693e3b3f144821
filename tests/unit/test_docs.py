"""The pages that are made from the code are as the code is now."""

from pathlib import Path

from chaussette.arbiter.lifecycle import as_mermaid
from chaussette.backends.reference import reference as backends_page
from chaussette.control.command import COMMANDS
from chaussette.control.commands.tuning import HARMLESS
from chaussette.control.levels import Level
from chaussette.control.reference import reference as commands_page
from chaussette.settings.reference import reference

ROOT = Path(__file__).parents[2]


def test_settings_reference_is_current() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert page == reference(), (
        "stale: run `python -m chaussette.settings.reference > docs/settings.md`"
    )


def test_lifecycle_diagram_is_current() -> None:
    page = (ROOT / "docs" / "design.md").read_text("utf-8")
    diagram = page.split("<!-- lifecycle -->\n")[1].split("<!-- /lifecycle -->")[0]
    assert diagram == f"```mermaid\n{as_mermaid()}\n```\n"


def test_backends_page_is_current() -> None:
    page = (ROOT / "docs" / "backends.md").read_text("utf-8")
    assert page == backends_page(), (
        "stale: run `python -m chaussette.backends.reference > docs/backends.md`"
    )


def test_commands_page_is_current() -> None:
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    assert page == commands_page(), (
        "stale: run `python -m chaussette.control.reference > docs/commands.md`"
    )


def test_classes_of_commands_are_current() -> None:
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    for level in Level:
        names = sorted(name for name, one in COMMANDS.items() if one.level is level)
        row = f"| {level} | " + ", ".join(f"`{name}`" for name in names)
        if level is Level.OPERATE:
            row += "; `set` of " + ", ".join(f"`{name}`" for name in sorted(HARMLESS))
        assert f"{row} |" in page, row
