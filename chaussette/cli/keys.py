"""`circusctl keys`: makes, lists and revokes keys, as files; no arbiter is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chaussette.control.keys import KeyStore
from chaussette.control.levels import Level, read_level
from chaussette.control.places import default_client_key, default_keys_dir
from chaussette.errors import ConfigError, did_you_mean

HELP = f"""\
circusctl keys init [--dir DIR]
circusctl keys add <client> [--class read|operate|configure] [--out FILE] [--dir DIR]
circusctl keys list [--dir DIR]
circusctl keys revoke <client> [--dir DIR]
circusctl keys show [--dir DIR]

Keys for tcp:// endpoints (CurveZMQ): who connects needs one, and is told no without.

init makes the directory (mode 0700) and the arbiter's own pair; then set
keys_dir = DIR in [circus]. add makes a client's pair, lets it in with a class
(operate, unless --class says otherwise), and says which file the client needs:
there, give it to circusctl --client-key, or put it at
{default_client_key()}, mode 0600. revoke lets it in no more: commands are refused
at once, subscriptions to events end with the next circusctl reloadconfig. show
prints the arbiter's public key. A running arbiter sees new keys by itself.

The directory is {default_keys_dir()} unless --dir says otherwise."""
_OPTIONS = {
    "init": ("--dir",),
    "add": ("--dir", "--class", "--out"),
    "list": ("--dir",),
    "revoke": ("--dir",),
    "show": ("--dir",),
}
_NAMED = ("add", "revoke")


def run(words: Sequence[str]) -> int:
    """Carries out one line; the exit code. Raises ConfigError."""
    if not words or words[0] in ("help", "--help", "-h"):
        print(HELP)  # noqa: T201 - the answer to a question
        return 0
    action, name, options = _read(list(words))
    place = options.get("--dir") or default_keys_dir()
    if action == "init":
        store = KeyStore.create(place)
        text = (
            f"made {store.path}; its public key is {store.public}\n"
            f"Next: keys_dir = {store.path} in [circus], and circusctl keys add NAME"
        )
    else:
        text = _on_store(KeyStore(place), action, name, options)
    if text:
        print(text)  # noqa: T201
    return 0


def _on_store(store: KeyStore, action: str, name: str, options: dict[str, str]) -> str:
    if action == "add":
        level = read_level(options["--class"]) if "--class" in options else Level.OPERATE
        out = Path(options["--out"]) if "--out" in options else None
        file = store.add(name, level, out)
        return f"{name} may {_may(level)}; its file is {file}: move it to the client, mode 0600"
    if action == "revoke":
        store.revoke(name)
        return f"{name} is not let in any more; circusctl reloadconfig ends its subscriptions"
    if action == "show":
        return store.public
    clients = sorted(store.allowed().values(), key=lambda one: one.name)
    lines = [f"{one.name}: {one.level} {one.public}" for one in clients]
    return "\n".join([*lines, *(f"not let in: {fault}" for fault in store.faults)])


def _may(level: Level) -> str:
    return {Level.READ: "look", Level.OPERATE: "look and operate"}.get(
        level, "look, operate and configure"
    )


def _read(words: list[str]) -> tuple[str, str, dict[str, str]]:
    """What is to be done, to whom, and the options."""
    action = words.pop(0)
    if action not in _OPTIONS:
        raise ConfigError(
            f"keys: unknown {action!r}: expected {', '.join(_OPTIONS)}"
            + did_you_mean(action, _OPTIONS)
        )
    options: dict[str, str] = {}
    plain: list[str] = []
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            plain.append(word)
            continue
        option, sign, value = word.partition("=")
        if option not in _OPTIONS[action]:
            raise ConfigError(
                f"keys {action}: unknown option {option}{did_you_mean(option, _OPTIONS[action])}"
            )
        if not sign and not words:
            raise ConfigError(f"keys {action}: {option} needs a value")
        options[option] = value if sign else words.pop(0)
    wanted = 1 if action in _NAMED else 0
    if len(plain) != wanted:
        raise ConfigError(f"keys {action}: expected {'one name' if wanted else 'no further word'}")
    return action, plain[0] if plain else "", options
