"""Sets up Django inside the test process, when imported: models can be imported after it.

All that the site writes goes into a directory of its own, VAR.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import django

SITE = Path(__file__).parents[3] / "examples" / "django_site"
VAR = Path(tempfile.mkdtemp(prefix="townhall-"))

os.environ["TOWNHALL_VAR"] = str(VAR)
os.environ["DJANGO_SETTINGS_MODULE"] = "townhall.settings"
sys.path.insert(0, str(SITE))
try:
    django.setup()
finally:
    # The settings are read; children of other tests must not inherit these.
    del os.environ["TOWNHALL_VAR"], os.environ["DJANGO_SETTINGS_MODULE"]
