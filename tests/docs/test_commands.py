"""Every command of the documentation is typed as a reader would, in a copy of the clone, with a daemon beside it.

What cannot be typed here stands in `ONLY_PARSED` with the reason; it is held against the parsers of our own commands.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adaspring.app.config import parse_config
from adaspring.cli import adaspring, adaspringctl, adaspringd

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CLONE = Path(__file__).parents[2]
PAGES = [
    *("README.md", "CONTRIBUTING.md", "deploy/constraints/README.md"),
    *sorted(str(page.relative_to(CLONE)) for page in [*CLONE.glob("docs/*.md"), *CLONE.glob("models/*/card.md")]),
]
PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "adaspring": adaspring.build_parser,
    "adaspringctl": adaspringctl.build_parser,
    "adaspringd": adaspringd.build_parser,
}

#: Typed by the fixture: the daemon that the others ask.
DAEMON = ".venv/bin/adaspringd --config deploy/adaspringd.toml"
_CONFIG = "--config deploy/adaspringd.toml"
#: What is typed instead, because a reader fills something in, the command would not end, or it would take long.
INSTEAD = {
    ".venv/bin/adaspringctl top": ".venv/bin/adaspringctl top --once",
    "adaspringctl top": "adaspringctl top --once",
    "adaspringctl events": "adaspringctl events --count 2",
    "adaspringctl pin SUBNET": "adaspringctl pin f32:c64.c64.c96.c96.c96.c128.c128.c128",
    "adaspring profile": "adaspring profile --subnets 80",
    "adaspring emulate BOARD": "adaspring emulate raspberry-pi-4b --seconds 1",
    "adaspring simulate": "adaspring simulate --scenario hot-day --seeds 1 --statics 1",
    "adaspring emulate raspberry-pi-4b --scenario hot-day": (
        "adaspring emulate raspberry-pi-4b --scenario hot-day --seconds 1"
    ),
    "adaspring emulate jetson-orin-nano --config my.toml": (
        "adaspring emulate jetson-orin-nano --config my.toml --seconds 1"
    ),
    "adaspring emulate librem5 --root /tmp/phone --no-frames": (
        "adaspring emulate librem5 --root phone --no-frames --seconds 1"
    ),
    "adaspringctl bundle install models/har/bundle": f"adaspringctl bundle install models/har/bundle {_CONFIG}",
    "adaspringctl bundle install FOLDER": f"adaspringctl bundle install models/har/bundle {_CONFIG}",
    "adaspringctl bundle verify": f"adaspringctl bundle verify {_CONFIG}",
    "adaspringctl record monday.jsonl": "adaspringctl record monday.jsonl --count 13",
    "adaspring simulate --trace monday.jsonl --config /etc/adaspring/adaspringd.toml": (
        f"adaspring simulate --trace monday.jsonl {_CONFIG} --seeds 1 --statics 1"
    ),
    "adaspring redecide FOLDER --bundle har": "adaspring redecide state/decisions/har --bundle har",
    # Of one device, whose state folder lies here.
    "adaspring fleet report FOLDER --out PAGES": "adaspring fleet report . --out pages",
    "adaspringctl keys daemon --folder /etc/adaspring/curve": "adaspringctl keys daemon --folder curve",
}
_SYSTEM = "acts on the system; tests/system types it on a machine of its own"
_TRACES = "replays traces that do not ship"
_NETWORK = "sets up an environment from the network, as CI does before the tests"
#: What is not typed, and why.
ONLY_PARSED = {
    "make run": f"{_NETWORK}; tests/cli/demo runs what it runs",
    "make setup": _NETWORK,
    "make check": _NETWORK,
    "make test": "these are the tests",
    "make bench": _NETWORK,
    "make sbom": f"{_NETWORK}; tests/packaging/test_sbom.py runs what it runs",
    "adaspring train models/har/recipe.toml --data DIR": "trains for a quarter of an hour, on data that is not here",
    (
        "adaspring simulate --scenario driver-day --bundle sound --config docs/driver-day.toml --deadline 6 "
        "--loss 1.5 --out day"
    ): "a whole day, five times: minutes",
    "python -m benchmarks.headline --stored docs/evidence": "tests/benchmarks/test_headline.py runs what it runs",
    "python -m benchmarks.day --shipped": "a whole day, five times: minutes",
    "python -m benchmarks.day --trace FOLDER/context_traces.npz --home b": _TRACES,
    "python -m benchmarks.day --trace FOLDER/context_traces.npz --home b --first-seed 100": _TRACES,
    (
        "adaspring simulate --trace FOLDER/context_traces.npz --home b --scenario driver-day --bundle sound --out day"
    ): _TRACES,
    "adaspringd --sysroot /tmp/phone": "a second daemon on the same sockets; emulate starts one like it",
    "sudo dpkg --install adaspring_0.1.0_amd64.deb": _SYSTEM,
    "systemctl status adaspringd": _SYSTEM,
    "sudo systemctl disable --now adaspringd": _SYSTEM,
    "sudo systemctl enable --now adaspringd.socket": _SYSTEM,
    "journalctl -x -u adaspringd --since today": _SYSTEM,
    "pip install 'adaspring[systemd,http,metrics,update]'": "fetches from a network; tests/packaging installs a wheel",
    "sudo .venv/bin/adaspringctl install-service": "writes to /etc; tests/cli/test_report.py installs below a folder",
    "sh scripts/memory-guest.sh .venv/bin/python": "boots a kernel of its own, as root, for a minute and a half",
    "cp laptop.key /etc/adaspring/curve/clients/": "a copy between two machines",
}


def blocks(page: str, *languages: str) -> list[str]:
    """Fenced blocks of a page in some languages."""
    text = (CLONE / page).read_text(encoding="utf-8")
    return [
        body
        for language, body in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        if language in languages
    ]


def commands(page: str) -> list[str]:
    """Lines that a page tells its reader to type, without what they say to the reader."""
    lines = [line for block in blocks(page, "sh", "console") for line in block.replace("\\\n", " ").splitlines()]
    typed = [re.sub(r"(^|\s+)#.*", "", line.removeprefix("$ ")).rstrip() for line in lines]
    return [line for line in typed if line]


ALL = [(page, line) for page in PAGES for line in commands(page)]


def program(name: str) -> str:
    """A launcher of one of our commands."""
    return f'#!/bin/sh\nexec "{sys.executable}" -m adaspring.cli.{name} "$@"\n'


class Reader:
    """Types commands in a copy of the clone.

    Attributes:
        folder: Where the reader is.
    """

    def __init__(self, folder: Path, short: Path) -> None:
        """Clone, as far as commands need it.

        Args:
            folder: Empty.
            short: For sockets, whose paths must be short.
        """
        self.folder = folder
        for name in ("models/har", "docs", "deploy"):
            shutil.copytree(CLONE / name, folder / name)
        with (folder / "deploy" / "adaspringd.toml").open("a") as config:
            # Measuring would take the processor from those who look.
            config.write(f'\n[device]\nbackground_profiling = false\n\n[bundles]\nkeys = ["{folder}/vendor.pub"]\n')
        (folder / "my.toml").write_text("[policy]\nlatency_p95_ms = 15.0\n")
        programs = folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        launchers = {name: program(name) for name in PARSERS} | {"sudo": '#!/bin/sh\nexec "$@"\n'}
        for name, text in launchers.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "RUNTIME_DIRECTORY": str(short / "adaspring"),
            "STATE_DIRECTORY": str(folder / "state"),
            "TMPDIR": str(short),
            "XDG_RUNTIME_DIR": str(short),
        }

    def types(self, line: str, *, timeout_s: float = 90.0) -> str:
        """What a command prints; it must end well."""
        return self._ended(["/bin/sh", "-c", line], timeout_s)

    def runs(self, code: str) -> str:
        """What a piece of Python prints."""
        return self._ended([sys.executable, "-c", code], 60.0)

    def starts(self, line: str) -> subprocess.Popen[bytes]:
        """A command that goes on."""
        # Without the shell in between, so that a signal reaches it.
        return subprocess.Popen(["/bin/sh", "-c", f"exec {line}"], cwd=self.folder, env=self._environment)

    def _ended(self, command: list[str], timeout_s: float) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{command[-1]}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """With a daemon that was started as the README says."""
    if Path("/run/adaspring/infer.sock").exists():
        pytest.skip("a daemon of this machine serves, and the commands would ask it")
    with tempfile.TemporaryDirectory(prefix="as-") as short:
        someone = Reader(tmp_path_factory.mktemp("reader"), Path(short))
        daemon = someone.starts(DAEMON)
        try:
            until_s = time.monotonic() + 30
            while not (Path(short) / "adaspring" / "infer.sock").exists():
                assert daemon.poll() is None
                assert time.monotonic() < until_s
                time.sleep(0.02)
            yield someone
            daemon.terminate()
            assert daemon.wait(30) == 0
        finally:
            daemon.kill()
            daemon.wait()


@pytest.mark.parametrize(
    "line",
    [pytest.param(line, id=f"{page}: {line}") for page, line in ALL if line != DAEMON and line not in ONLY_PARSED],
)
def test_command_can_be_typed(reader: Reader, line: str) -> None:
    """In the order in which they stand, page by page; each ends with status 0."""
    reader.types(INSTEAD.get(line, line))


@pytest.mark.parametrize("line", sorted(ONLY_PARSED))
def test_command_is_understood(line: str) -> None:
    """A shell parses it; our own programs, make and the benchmarks know every option of it."""
    subprocess.run(["/bin/sh", "-n", "-c", line], check=True)
    words = [word for word in shlex.split(line) if word != "sudo"]
    name = Path(words[0]).name
    if name in PARSERS:
        PARSERS[name]().parse_args(words[1:])
    elif name == "make":
        assert set(words[1:]) <= targets()
    elif words[:2] == ["python", "-m"]:
        usage = subprocess.run(
            [sys.executable, *words[1:3], "--help"], cwd=CLONE, capture_output=True, text=True, check=True
        )
        assert [] == [word for word in words[3:] if word.startswith("-") and word not in usage.stdout]


def test_tables_hold_no_command_that_is_gone() -> None:
    """What is not in the documentation needs no exception."""
    lines = {line for _, line in ALL}
    assert DAEMON in commands("README.md")
    assert set() == {*INSTEAD, *ONLY_PARSED} - lines
    assert len(lines) >= 40


def targets() -> set[str]:
    """Of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (CLONE / "Makefile").read_text(), re.MULTILINE))


def known(words: list[str]) -> str | None:
    """What is wrong with a command that may leave arguments out; None where every word is known."""
    parser = PARSERS[words[0]]()
    options = set(parser._option_string_actions)
    for word in words[1:]:
        choices = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if word.startswith("-"):
            if word.partition("=")[0] not in options:
                return word
        elif choices:
            if word not in choices[0]:
                return word
            parser = choices[0][word]
            options |= set(parser._option_string_actions)
    return None


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_sentences_exist(page: str) -> None:
    """Subcommands and options of our programs, targets of make and benchmarks that a sentence or a table names."""
    text = (CLONE / page).read_text(encoding="utf-8")
    for span in re.findall(r"`(?:sudo )?(?:\.venv/bin/)?(adaspring(?:ctl|d)?(?: [^`]*)?)`", text):
        assert known(shlex.split(span)) is None, span
    for target in re.findall(r"`make ([a-z]+)[^`]*`", text):
        assert target in targets()
    for name in re.findall(r"\bbenchmarks\.([a-z]+)", text):
        assert importlib.util.find_spec(f"benchmarks.{name}"), name


def test_code_of_the_readme_runs(reader: Reader) -> None:
    """The sensing app gets a label and the subnet that gave it."""
    (code,) = blocks("README.md", "python")
    assert re.fullmatch(r"[A-Z_]+ (f32|i8):\S+\n", reader.runs(code))


def test_code_of_the_features_runs(reader: Reader) -> None:
    """One window and a stream, with what the page leaves to its reader."""
    (code,) = blocks("docs/features.md", "python")
    given = (
        "from pathlib import Path; import numpy as np; from adaspring.resources import resource\n"
        "path = resource('models', 'har', 'bundle'); raw = samples = np.zeros((128, 6), np.float32)\n"
    )
    assert "(9, 128) (9, 128)\n" == reader.runs(f"{given}{code}\nprint(x.shape, columns.shape)")


@pytest.mark.parametrize("page", PAGES)
def test_other_code_is_well_formed(page: str) -> None:
    """Python compiles, and TOML that belongs to the daemon is accepted by it."""
    for code in blocks(page, "python"):
        compile(code, page, "exec")
    for text in blocks(page, "toml"):
        table = tomllib.loads(text)
        if table.keys() & {"policy", "serve"}:
            parse_config(table, page)
