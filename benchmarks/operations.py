"""What an operator relies on: exposure, restarts, watchdog, updates; under a booted systemd (root)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from adaspring.bundle import Store
from adaspring.cli.adaspringctl import main as adaspringctl
from adaspring.cli.process import DaemonProcess
from adaspring.errors import ClientError
from adaspring.resources import resource
from benchmarks.harness import CONSOLE, board, finish, windows
from benchmarks.machine import Machine, missing
from benchmarks.powercut import inconsistent_points

CLONE = Path(__file__).resolve().parents[1]
#: Bundles are installed and rolled back so often while requests come.
UPDATES = 3


def main() -> None:
    """Measure and print; figures that need a container are null where none can be booted."""
    with tempfile.TemporaryDirectory(prefix="adaspring-operations-") as folder:
        figures: dict[str, float | int | None] = {"security_exposure": exposure()}
        figures |= under_systemd(Path(folder))
        figures |= power_cuts(Path(folder))
        figures |= {"update_lost_requests": lost_in_updates(Path(folder))}
    finish(figures)


def exposure() -> float | None:
    """Of the unit as shipped, by systemd's own judgement: 0 is safe, 10 is open."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        return None
    unit = CLONE / "deploy" / "systemd" / "adaspringd.service"
    command = [tool, "security", "--offline=true", "--no-pager", str(unit)]
    text = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout
    found = re.search(r"Overall exposure level for \S+: (\S+)", text)
    return float(found[1]) if found else None


def under_systemd(folder: Path) -> dict[str, float | None]:
    """Seconds from start to ready, from SIGKILL to the next answer, and from SIGSTOP to it."""
    names = ("start_to_ready_s", "restart_after_kill_s", "watchdog_restart_s")
    why = missing()
    if why is not None:
        CONSOLE.print(f"no container: {why}")
        return dict.fromkeys(names)
    shell = "/bin/sh"
    built = subprocess.run(
        [shell, "scripts/build-deb.sh", sys.executable], cwd=CLONE, check=True, stdout=subprocess.PIPE, text=True
    )
    root = subprocess.run(
        [shell, "scripts/debian-root.sh"], cwd=CLONE, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    with Machine(Path(root), folder, {CLONE / built.stdout.strip().splitlines()[-1]: "/srv/adaspring.deb"}) as machine:
        machine.run("dpkg --install /srv/adaspring.deb")
        machine.run("printf '\\n[device]\\nbackground_profiling = false\\n' >> /etc/adaspring/adaspringd.toml")
        machine.run("systemctl stop adaspringd")
        started_s = time.monotonic()
        machine.run("systemctl start adaspringd")
        ready_s = time.monotonic() - started_s
        return dict(
            zip(
                names,
                (round(each, 2) for each in (ready_s, _until_served(machine, "KILL"), _until_served(machine, "STOP"))),
                strict=True,
            )
        )


def _until_served(machine: Machine, signal: str) -> float:
    """From a signal until another process serves, in seconds."""
    process = machine.run("systemctl show --property=MainPID --value adaspringd")
    started_s = time.monotonic()
    machine.run(f"kill -{signal} {process}")
    machine.eventually(
        "[ $(systemctl show --property=ActiveState --value adaspringd) = active ]"
        f" && ! systemctl show --property=MainPID --value adaspringd | grep -Ew '{process}|0'"
    )
    seconds = time.monotonic() - started_s
    machine.ask()
    return seconds


def power_cuts(folder: Path) -> dict[str, int]:
    """Points at which the power failed while a bundle was installed, rolled back and committed."""
    source = _versions(folder, 2)
    store = Store(folder / "cuts" / "har")
    store.install(source[0], keys=(), allow_unsigned=True)
    store.commit()
    # On trial, so that there is something to commit.
    store.install(source[1], keys=(), allow_unsigned=True)
    new = _versions(folder / "new", 3)[-1]
    tested, wrong = 0, 0
    for name in ("install", "rollback", "commit"):

        def act(cut: Store, name: str = name) -> object:
            if name == "install":
                return cut.install(new, keys=(), allow_unsigned=True)
            return cut.commit() if name == "commit" else cut.rollback()

        points, faults = inconsistent_points(store.folder, act, folder / name)
        for fault in faults:
            CONSOLE.print(f"{name}: {fault}")
        tested, wrong = tested + points, wrong + len(faults)
    return {"crash_points_tested": tested, "crash_points_consistent": tested - wrong}


def lost_in_updates(folder: Path) -> int:
    """Requests that two clients lost while bundles were installed and rolled back under them."""
    config = {
        "bundle": "har",
        "bundles": {"allow_unsigned": True},
        "device": {"profile": board(), "background_profiling": False},
    }
    first, second = _versions(folder / "updates", 2)
    x = windows()[:1]
    stop = threading.Event()
    lost: list[str] = []
    answered: list[int] = []

    def ask(daemon: DaemonProcess) -> None:
        with daemon.client(retries=10) as client:
            while not stop.is_set():
                try:
                    answered.append(len(client.infer(np.ascontiguousarray(x)).outputs))
                except ClientError as error:  # noqa: PERF203 - each loss counts
                    lost.append(str(error))

    with DaemonProcess(config, state=folder / "state") as daemon:
        threads = [threading.Thread(target=ask, args=(daemon,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            options = ["--config", str(daemon.folder / "adaspringd.toml"), "--json"]
            for number in range(UPDATES):
                bundle = (first, second)[number % 2]
                arguments = ["--socket", str(daemon.folder / "run"), "bundle", "install", str(bundle), *options]
                if adaspringctl(arguments):
                    raise SystemExit("the installation failed")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    CONSOLE.print(f"{len(answered):,} requests were answered during {UPDATES} updates, {len(lost)} lost {lost[:3]}")
    return len(lost)


def _versions(folder: Path, count: int) -> list[Path]:
    made = []
    for number in range(count):
        target = folder / f"version-{number}"
        shutil.copytree(resource("models", "har", "bundle"), target)
        manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
        (target / "manifest.json").write_text(json.dumps(manifest | {"version": f"{number + 1}.0"}), encoding="utf-8")
        made.append(target)
    return made


if __name__ == "__main__":
    main()
