"""`use = egg:chaussette` in the [server:main] section of a PasteDeploy file.

PasteDeploy gives every key as text; they are read as the keys of ServerSettings,
so that a wrong one is an error here as it is everywhere. Serving is the runner's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chaussette import application, runner
from chaussette.settings.declare import build
from chaussette.settings.server import ServerSettings


def serve_paste(app: Callable[..., Any], global_conf: Mapping[str, str], **keys: str) -> int:
    """Serves until told to stop; leaves by SystemExit when that failed.

    `pserve` and its kin do not look at what a server runner returns. Raises
    ConfigError for a key that is none, naming the nearest one.
    """
    settings = build(ServerSettings, {key: str(value) for key, value in keys.items()})
    name = global_conf.get("__file__", "")
    loaded = application.wrap(app, settings.interface, f"paste:{name}" if name else "")
    code = runner.run(settings, loaded)
    if code:
        raise SystemExit(code)
    return code
