"""What the live view knows of a daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from adaspring.bundle import Bundle
from adaspring.cli.process import DaemonProcess
from adaspring.cli.top.feed import Feed
from adaspring.errors import ClientError


@pytest.fixture
def own_daemon(small_bundle_folder: Path, tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon that this test may reload and end."""
    config = {
        "bundle": str(small_bundle_folder),
        "device": {"profile": "generic-x86_64", "background_profiling": False},
        "policy": {"trigger": {"min_dwell_s": 3600.0}},
    }
    with DaemonProcess(config, sysroot=tmp_path) as process:
        yield process


def feed_of(daemon: DaemonProcess) -> Feed:
    """A feed that listens to a daemon."""
    return Feed(f"ipc://{daemon.folder}/run/control.sock", f"ipc://{daemon.folder}/run/events.sock")


def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    """The view does not begin with nothing to show."""
    with pytest.raises(ClientError, match=r"none\.sock"):
        Feed(f"ipc://{tmp_path}/none.sock", None)


def test_daemon_that_began_again_is_followed(own_daemon: DaemonProcess, small_bundle: Bundle) -> None:
    """After a reload its events count from 1 again; the new life follows the old, each thing once."""
    smallest = small_bundle.space.format(small_bundle.space.smallest())
    with feed_of(own_daemon) as feed, own_daemon.control() as control:
        control.call("pin", subnet=smallest)
        feed.look()
        feed.listen()
        assert ["the daemon started", "an operator pinned it"] == [each.sentence for each in feed.happenings]
        control.call("reload")
        while len(feed.happenings) == 2:
            # Nobody answers for the moment that it takes.
            with suppress(ClientError):
                feed.look()
        feed.look()
        feed.listen()
        assert "the daemon started" == feed.happenings[-1].sentence
        assert 3 == len(feed.happenings)
        with feed_of(own_daemon) as late:
            assert [feed.happenings[-1]] == list(late.happenings)
