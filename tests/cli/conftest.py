"""A daemon that all command-line tests share; who pins or swaps lets the search decide again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from rich.console import Console, RenderableType

from adaspring.app.status import Status
from adaspring.cli.process import DaemonProcess
from adaspring.client import ControlClient


@pytest.fixture(scope="session")
def daemon(small_bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """Serves the small bundle on a board without sensors, and decides only when an operator asks."""
    config = {
        "bundle": str(small_bundle_folder),
        "device": {"profile": "generic-x86_64", "background_profiling": False},
        "monitor": {"interval_s": 0.05},
        "policy": {"search_deadline_ms": 1000.0, "trigger": {"min_dwell_s": 3600.0}},
    }
    with DaemonProcess(config, sysroot=tmp_path_factory.mktemp("nothing")) as process:
        yield process


@pytest.fixture
def control(daemon: DaemonProcess) -> Iterator[ControlClient]:
    """Of the daemon; a pin ends with the test."""
    with daemon.control() as client:
        yield client
        client.call("unpin")


@pytest.fixture
def status(daemon: DaemonProcess) -> Status:
    """Of the daemon."""
    with daemon.control() as client:
        return msgspec.convert(client.call("status"), Status)


@pytest.fixture
def shown() -> Callable[[RenderableType], str]:
    """What a terminal of 120 columns would show, without its colours."""

    def show(what: RenderableType) -> str:
        console = Console(width=120, color_system=None)
        with console.capture() as capture:
            console.print(what)
        return capture.get()

    return show
