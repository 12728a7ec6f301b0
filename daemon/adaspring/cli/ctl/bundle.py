"""``adaspringctl bundle`` and ``reload``: install, prove, take back; have the daemon take what is there now."""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from adaspring.app.config import Config, load_config, state_folder
from adaspring.app.credentials import key_file
from adaspring.app.locate import bundle_store
from adaspring.bundle import Pointer, Store, load_bundle, make_keys, sign_bundle, unpacked
from adaspring.cli.ctl.command import Commands, add_model, call, endpoint, print_json
from adaspring.cli.ctl.config_path import add_config, config_path
from adaspring.client import ControlClient
from adaspring.errors import ClientError, ConfigError, ConnectError, StoreError

#: How long a daemon may take to begin again, in seconds.
RELOAD_S = 30.0
#: How long one look at whether it did may take, in seconds: the one that ends answers no more.
POLL_S = 0.5


def add_bundle(commands: Commands) -> None:
    """Add the commands."""
    commands.add("reload", _reload, "take what is configured and installed now; waits until the daemon serves again")
    bundle = commands.add_group("bundle", "install bundles, commit them, take them back")
    install = bundle.add("install", _install, "install a bundle and serve it on trial")
    install.add_argument("source", type=Path, help="folder of the bundle, or a tar archive of it")
    install.add_argument("--expect", metavar="MODEL[:VERSION]", help="refuse a bundle of another model or version")
    bundle.add("commit", _commit, "end the trial of the current bundle well")
    bundle.add("rollback", _rollback, "go back to the bundle before")
    listing = bundle.add("list", _list, "what is installed")
    verify = bundle.add("verify", _verify, "check hashes and signature of every installed bundle")
    for parser in bundle.parsers:
        add_config(parser)
    for parser in set(bundle.parsers) - {install}:
        add_model(parser, "none; with several it must be named")
    for parser in set(bundle.parsers) - {listing, verify}:
        parser.add_argument("--no-reload", action="store_true", help="leave the running daemon as it is")
    sign = bundle.add("sign", _sign, "sign a bundle, where it is made", json=False)
    sign.add_argument("folder", type=Path, help="folder of the bundle")
    sign.add_argument("--key", type=Path, required=True, help="private key (Ed25519, PEM)")
    make = bundle.add("make-key", _make_key, "make a pair of keys for signatures", json=False)
    make.add_argument("private", type=Path, help="file of the private key; keep it where bundles are made")
    make.add_argument("public", type=Path, help="file of the public key; name it in bundles.keys on devices")


def _sign(options: argparse.Namespace, console: Console) -> None:
    load_bundle(options.folder)
    console.print(f"wrote {sign_bundle(options.folder, options.key)}", soft_wrap=True)


def _make_key(options: argparse.Namespace, console: Console) -> None:
    make_keys(options.private, options.public)
    console.print(f"wrote {options.private} and {options.public}", soft_wrap=True)


def _reload(options: argparse.Namespace, console: Console) -> None:
    asked_s = time.monotonic()
    call(options, "reload")
    status = _wait_for_new(options, asked_s)
    if options.json:
        print_json({"uptime_s": status["uptime_s"], "bundle_version": status["bundle_version"]})
    else:
        console.print(f"serving {status['model']} {status['bundle_version']}")


def _wait_for_new(options: argparse.Namespace, asked_s: float) -> dict[str, Any]:
    """The status of a daemon that began after a moment of the monotonic clock."""
    with ControlClient(endpoint(options, "control"), timeout_s=POLL_S) as control:
        while (now_s := time.monotonic()) < asked_s + RELOAD_S:
            with suppress(ClientError):
                status: dict[str, Any] = control.call("status")
                if now_s - status["uptime_s"] > asked_s:
                    return status
            time.sleep(0.02)
    raise ConfigError(f"the daemon did not come back within {RELOAD_S:.0f} s; see journalctl -u adaspringd")


def _open(options: argparse.Namespace, model: str | None) -> tuple[Config, Store]:
    path = config_path(options)
    config = load_config(path) if path else Config()
    names = [served.bundle for served in config.served]
    if model is None and len(names) > 1:
        raise ConfigError(f"several models are configured; name one of {', '.join(names)} by --model")
    name = model if model in names else names[0]
    store = bundle_store(name, state_folder(config))
    if store is None:
        raise ConfigError(
            f"the configuration names the bundle by a path ({name}), which no installed bundle replaces;"
            ' name it as in bundle = "har"'
        )
    if model not in {None, name}:
        raise StoreError(f"{model} is no bundle of {' or '.join(names)}, which is what the daemon serves")
    return config, store


def _install(options: argparse.Namespace, console: Console) -> None:
    with unpacked(options.source) as folder:
        manifest = load_bundle(folder).manifest
        config, store = _open(options, manifest.name)
        keys = [key_file(key) for key in config.bundles.keys]
        allow = config.bundles.allow_unsigned
        if options.expect not in (None, manifest.name, f"{manifest.name}:{manifest.version}"):
            raise StoreError(f"{options.source} is {manifest.name}:{manifest.version}, not {options.expect}")
        name = store.install(folder, keys=keys, allow_unsigned=allow, keep=config.bundles.keep)
    _take(options, console, store, f"installed {name}")


def _commit(options: argparse.Namespace, console: Console) -> None:
    _, store = _open(options, options.model)
    _show(options, console, store.commit(), "committed")


def _rollback(options: argparse.Namespace, console: Console) -> None:
    _, store = _open(options, options.model)
    pointer = store.rollback()
    _take(options, console, store, f"rolled back to {pointer.current if pointer else 'the bundle that ships'}")


def _take(options: argparse.Namespace, console: Console, store: Store, text: str) -> None:
    if not options.json:
        console.print(text)
    if options.no_reload:
        served = False
    else:
        try:
            _reload(argparse.Namespace(**{**vars(options), "json": False}), Console(quiet=True))
            served = True
        except ConnectError:
            served = False
    if options.json:
        print_json({"pointer": store.pointer(), "served": served})
    elif not served:
        console.print("the daemon serves it from its next start on")


def _show(options: argparse.Namespace, console: Console, pointer: Pointer, text: str) -> None:
    if options.json:
        print_json({"pointer": pointer})
    else:
        console.print(f"{text} {pointer.current}")


def _list(options: argparse.Namespace, console: Console) -> None:
    _, store = _open(options, options.model)
    pointer = store.pointer()
    model = store.folder.name
    rows = [{"model": model, "version": name, "state": _state(name, pointer)} for name in store.versions()]
    if options.json:
        print_json(rows)
    elif not rows:
        console.print("nothing is installed: the bundle that ships is served")
    for row in [] if options.json else rows:
        console.print(f"{row['model']}  {row['version']}  {row['state']}", soft_wrap=True)


def _state(version: str, pointer: Pointer | None) -> str:
    if pointer is None:
        return ""
    if version == pointer.current:
        return "current, on trial" if pointer.trial else "current"
    if version == pointer.previous:
        return "previous"
    return "failed its trial" if version in pointer.failed else ""


def _verify(options: argparse.Namespace, console: Console) -> None:
    config, store = _open(options, options.model)
    keys = [key_file(key) for key in config.bundles.keys]
    checked: list[dict[str, Any]] = []
    for version in store.versions():
        store.verify(version, keys=keys, allow_unsigned=config.bundles.allow_unsigned)
        checked.append({"version": version, "ok": True})
        if not options.json:
            console.print(f"{version}  hashes and signature are right")
    if options.json:
        print_json(checked)
