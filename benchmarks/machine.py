"""A Debian that boots its own systemd in a container, driven from outside."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType

#: Boot, and each command inside, may take this long, in seconds: the machine is shared.
PATIENCE_S = 90.0
#: Of a machine's name, before the process that runs it.
_PREFIX = "adaspring-machine-"


def missing() -> str | None:
    """Why no container can be booted here; None where one can."""
    if os.geteuid() != 0:
        return "booting a container needs root"
    for tool, package in (
        ("systemd-nspawn", "systemd-container"),
        ("nsenter", ""),
        ("setpriv", ""),
        ("unshare", ""),
    ):
        if shutil.which(tool) is None:
            return f"{tool} is missing (Debian: {package or 'util-linux'})"
    if not any("cgroup2" in line for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()):
        return "the kernel offers no unified control groups (cgroup2)"
    if not all(os.access(top, os.W_OK) for top in _cgroup_tops()):
        return "the control groups are read-only, as in an unprivileged container"
    # What a machine is made of: namespaces, and a layer to write to above the root.
    script = "mount -t overlay overlay -o lowerdir=/usr:/etc /mnt"
    command = ["unshare", "--mount", "--pid", "--fork", "/bin/sh", "-c", script]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        return f"namespaces or overlay mounts are not allowed: {result.stderr.strip()}"
    return None


def _cgroup_tops() -> list[Path]:
    """Where systemd-nspawn makes control groups: one folder, or two where old and new kinds stand side by side."""
    hybrid = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd")]
    return hybrid if hybrid[0].is_dir() else [Path("/sys/fs/cgroup")]


def _remove_groups(name: str) -> None:
    """End what still runs in the control groups of a machine, and remove them."""
    for top in _cgroup_tops():
        group = top / name
        kill = group / "cgroup.kill"
        if kill.exists():
            kill.write_text("1", encoding="ascii")
        until_s = time.monotonic() + PATIENCE_S
        while group.exists() and time.monotonic() < until_s:
            # Deepest first; one in which a process is still ending refuses.
            for folder in sorted(group.glob("**/"), key=lambda path: -len(path.parts)):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            time.sleep(0.01)


#: Runs in the environment of the package: one frame, answered.
ASK = """
import numpy as np
from adaspring.client import Client
with Client("ipc:///run/adaspring/infer.sock", retries=30) as client:
    shape = client.meta().inputs[0].shape[1:]
    assert len(client.infer(np.zeros((1, *shape), np.float32)).outputs) == 1
"""


class MachineError(RuntimeError):
    """A script failed inside, or the machine did not boot."""


class Machine:
    """One boot of a root; whatever it writes is gone with it. Use as a context manager."""

    def __init__(self, root: Path, folder: Path, binds: dict[Path, str]) -> None:
        """Describe the machine; entering boots it.

        Args:
            root: Folder with a Debian; it is not written to.
            folder: For the log.
            binds: Read-only mounts: folder or file here, path inside.
        """
        self._log = folder / "console.log"
        self._name = f"{_PREFIX}{os.getpid()}"
        self._command = [
            # Should the run be killed, the machine still powers off: nspawn's answer to SIGTERM.
            "setpriv",
            "--pdeathsig=TERM",
            "systemd-nspawn",
            "--quiet",
            f"--directory={root}",
            "--volatile=overlay",
            "--boot",
            "--register=no",
            "--keep-unit",
            "--private-network",
            f"--machine={self._name}",
            "--console=pipe",
            *(f"--bind-ro={source}:{target}" for source, target in binds.items()),
        ]
        self._process: subprocess.Popen[bytes]
        self._leader = 0

    def __enter__(self) -> Machine:  # noqa: PYI034 - typing.Self came with Python 3.11
        """Boot, and wait until systemd says that it runs."""
        # Of runs that were killed: theirs is gone by now, or it is ended here.
        for stale in {group.name for top in _cgroup_tops() for group in top.glob(f"{_PREFIX}[0-9]*")}:
            if not Path("/proc", stale.removeprefix(_PREFIX)).exists():
                _remove_groups(stale)
        groups = [top / self._name for top in _cgroup_tops()]
        for group in groups:
            group.mkdir(exist_ok=True)
        # In groups of its own: nspawn puts those of a machine below the ones it was started in, where two would meet.
        script = 'for group in "$1" "$2"; do echo $$ >"$group/cgroup.procs"; done; shift 2; exec "$@"'
        enter = ["/bin/sh", "-e", "-c", script, "sh", str(groups[0]), str(groups[-1])]
        environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*enter, *self._command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        try:
            self._leader = self._wait_for_leader()
            self.eventually("systemctl is-system-running | grep -E 'running|degraded'")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Power it off, end what may be left of it, and remove the control groups that it leaves behind."""
        if self._process.poll() is None:
            if self._leader:
                self.run("systemctl poweroff --force", check=False)
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        _remove_groups(self._name)

    def run(self, script: str, *, check: bool = True) -> str:
        """Standard output of a shell script inside."""
        command = ["nsenter", f"--target={self._leader}", "--all", "--wdns=/", "/bin/sh", "-c", script]
        # Of the machine, not of the test run: nothing of ours is to leak in.
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        if check and result.returncode != 0:
            raise MachineError(f"{script}: {result.returncode}\n{result.stdout}{result.stderr}")
        return result.stdout.strip()

    def eventually(self, script: str, within_s: float = PATIENCE_S) -> float:
        """Wait until a script succeeds; returns how long that took, in seconds."""
        started_s = time.monotonic()
        while True:
            try:
                self.run(script)
            except MachineError:  # noqa: PERF203 - it is what is waited for
                if time.monotonic() > started_s + within_s:
                    raise
                time.sleep(0.05)
            else:
                return time.monotonic() - started_s

    def python(self, code: str) -> str:
        """What a piece of Python prints in the environment of the package."""
        return self.run(f"/opt/adaspring/bin/python - <<'CODE'\n{code}\nCODE")

    def ask(self) -> None:
        """Have the daemon answer a frame."""
        self.python(ASK)

    def _wait_for_leader(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s and self._process.poll() is None:
            for child in children.read_text(encoding="ascii").split():
                try:
                    comm = Path(f"/proc/{child}/comm").read_text(encoding="ascii").strip()
                except OSError:
                    continue
                if comm == "systemd":
                    return int(child)
            time.sleep(0.05)
        raise MachineError(f"the machine did not boot: {self._log.read_text(errors='replace')}")
