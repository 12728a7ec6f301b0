"""The wheel is whole: installed into an empty environment outside the clone, it serves."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

# What a build may read. Copied, so that neither stale build folders nor caches of the clone reach the wheel.
SOURCES = (
    "pyproject.toml",
    "setup.py",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "daemon",
    "models",
    "device_profiles",
    "deploy",
)


def requirements(root: Distribution) -> list[Distribution]:
    """What a distribution needs without extras, and what that needs in turn."""
    found: dict[str, Distribution] = {}
    queue = [root]
    while queue:
        for line in queue.pop().requires or ():
            requirement = Requirement(line)
            needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if needed and requirement.name not in found:
                found[requirement.name] = distribution(requirement.name)
                queue.append(found[requirement.name])
    return list(found.values())


def link_distributions(distributions: Iterable[Distribution], folder: Path) -> None:
    """Make installed distributions importable from ``folder``, and only them."""
    folder.mkdir()
    for each in distributions:
        for name in {file.parts[0] for file in each.files or ()} - {"..", "__pycache__"}:
            if not (folder / name).exists():
                (folder / name).symlink_to(Path(str(each.locate_file(name))))


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution, as a release would be."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        if (clone / name).is_dir():
            shutil.copytree(clone / name, source / name, ignore=ignore)
        else:
            shutil.copy2(clone / name, source / name)
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source], check=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel, what it requires, and nothing else."""
    root = tmp_path_factory.mktemp("environment")
    venv.create(root / "venv", symlinks=True)
    python = root / "venv" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel],
        check=True,
    )
    site = next((root / "venv" / "lib").glob("python*/site-packages"))
    installed = Distribution.at(next(site.glob("adaspring-*.dist-info")))
    link_distributions(requirements(installed), root / "requirements")
    (site / "requirements.pth").write_text(f"{root / 'requirements'}\n", encoding="utf-8")
    return root / "venv"


def outside_the_clone() -> dict[str, str]:
    """The variables of a process that must not see the clone or this test run's coverage."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV"))}


def run(command: list[str], folder: Path) -> str:
    """What a command prints, started in ``folder``."""
    result = subprocess.run(command, cwd=folder, env=outside_the_clone(), check=True, stdout=subprocess.PIPE, text=True)
    return result.stdout.strip()


def run_python(environment: Path, code: str, folder: Path) -> str:
    """What a piece of Python prints in the environment."""
    return run([str(environment / "bin" / "python"), "-c", code], folder)


def test_wheel_carries_what_lies_beside_the_code(wheel: Path, clone: Path) -> None:
    """Every file of the bundles, samples, profiles and units is in the wheel, byte for byte."""
    shipped = [
        path
        for pattern in ("models/*/bundle/**/*", "models/*/sample/**/*", "device_profiles/*", "deploy/**/*")
        for path in clone.glob(pattern)
        if path.is_file()
    ]
    assert shipped
    with zipfile.ZipFile(wheel) as archive:
        for path in shipped:
            assert path.read_bytes() == archive.read(f"adaspring/_data/{path.relative_to(clone)}")


def test_wheel_carries_the_whole_package(wheel: Path, clone: Path) -> None:
    """Every file of the import package is in the wheel, also what is no Python."""
    daemon = clone / "daemon"
    files = {str(path.relative_to(daemon)) for path in daemon.glob("adaspring/**/*") if path.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in files if "__pycache__" not in name} <= set(archive.namelist())


@pytest.mark.parametrize("command", ["adaspring", "adaspringctl", "adaspringd"])
def test_commands_start(environment: Path, tmp_path: Path, command: str) -> None:
    """Each command of the wheel is installed and knows its version."""
    assert run([str(environment / "bin" / command), "--version"], tmp_path).startswith(f"{command} ")


def test_resources_resolve_inside_the_package(environment: Path, tmp_path: Path) -> None:
    """An installed package reads its own copy of the bundle."""
    code = "from adaspring.resources import resource; print(resource('models', 'har', 'bundle', 'manifest.json'))"
    assert Path(run_python(environment, code, tmp_path)).is_relative_to(environment)


@pytest.mark.parametrize("module", ["torch", "systemd", "jtop", "onnx", "pytest"])
def test_environment_is_bare(environment: Path, tmp_path: Path, module: str) -> None:
    """Nothing but base requirements is there, so what follows shows that serving needs no more."""
    code = f"import importlib.util; print(importlib.util.find_spec({module!r}))"
    assert run_python(environment, code, tmp_path) == "None"


def test_serves_har(environment: Path, tmp_path: Path) -> None:
    """The daemon of the wheel answers a frame of the size that the har bundle names, and stops cleanly."""
    config = tmp_path / "adaspringd.toml"
    config.write_text(
        f"""
        bundle = "har"
        device.background_profiling = false
        paths = {{ runtime = "{tmp_path}/run", state = "{tmp_path}/state" }}
        """,
        encoding="utf-8",
    )
    ask = f"""
import numpy as np
from adaspring.client import Client

with Client("ipc://{tmp_path}/run/infer.sock", retries=30) as client:
    _, *shape = client.meta().inputs[0].shape
    print(*client.infer(np.zeros((1, *shape), np.float32)).outputs.shape)
"""
    command = [str(environment / "bin" / "adaspringd"), "--config", str(config)]
    with subprocess.Popen(command, cwd=tmp_path, env=outside_the_clone()) as daemon:
        try:
            assert run_python(environment, ask, tmp_path) == "1 6"
            daemon.terminate()
            assert daemon.wait(timeout=10) == 0
        finally:
            daemon.kill()
