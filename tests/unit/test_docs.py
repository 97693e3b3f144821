"""The pages that are made from the code are as the code is now."""

from pathlib import Path

from chaussette.settings.reference import reference

ROOT = Path(__file__).parents[2]


def test_settings_reference_is_current() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert page == reference(), (
        "stale: run `python -m chaussette.settings.reference > docs/settings.md`"
    )
