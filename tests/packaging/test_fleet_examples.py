"""What deploy/ has for many devices: the Ansible role, the Prometheus agent, health for thin-edge.io."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from adaspring.app.config import load_config
from adaspring.cli.process import DaemonProcess

#: What a task may say besides the module that it runs.
OF_TASKS = {"name", "when", "loop", "notify", "register", "changed_when", "delegate_to", "become"}


@pytest.fixture(scope="session")
def ansible(clone: Path) -> Path:
    """Playbooks and the role."""
    return clone / "deploy" / "ansible"


@pytest.fixture(scope="session")
def role(ansible: Path) -> dict[str, Any]:
    """The YAML of the role, by folder."""
    return {path.parent.name: yaml.safe_load(path.read_text()) for path in ansible.glob("roles/adaspring/*/main.yml")}


def tasks_of(ansible: Path, role: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Module, its arguments and the whole task, of everything that Ansible would run."""
    plays = [play for path in ansible.glob("*.yml") for play in yaml.safe_load(path.read_text())]
    for task in [*role["tasks"], *role["handlers"], *(task for play in plays for task in play.get("tasks", []))]:
        (module,) = set(task) - OF_TASKS
        yield module, task[module], task


def test_tasks_name_one_module_of_ansible_itself(ansible: Path, role: dict[str, Any]) -> None:
    """Nothing else needs to be installed; each task says what it does, and what it notifies is there."""
    handlers = {handler["name"] for handler in role["handlers"]}
    tasks = list(tasks_of(ansible, role))
    assert len(tasks) > 10
    for module, _, task in tasks:
        assert module.startswith("ansible.builtin.")
        assert task["name"]
        assert task.get("notify", next(iter(handlers))) in handlers
    assert "adaspring" in yaml.safe_load((ansible / "site.yml").read_text())[0]["roles"]


def test_tasks_refer_to_what_exists(ansible: Path, role: dict[str, Any], clone: Path) -> None:
    """Templates are in the role, drop-ins in the package, variables among the defaults."""
    text = "".join(path.read_text() for path in (ansible / "roles" / "adaspring").rglob("*") if path.is_file())
    registered = {task["register"] for _, _, task in tasks_of(ansible, role) if "register" in task}
    assert set(re.findall(r"\badaspring_\w+", text)) == set(role["defaults"]) | registered
    templates = [told["src"] for module, told, _ in tasks_of(ansible, role) if module == "ansible.builtin.template"]
    assert templates
    assert all((ansible / "roles" / "adaspring" / "templates" / name).is_file() for name in templates)
    commented = re.findall(r"sets up by itself\): (.+)\.", text)
    assert all((clone / "deploy/systemd/drop-ins" / f"{name}.conf").is_file() for name in commented[0].split(", "))


def rendered(ansible: Path, folder: Path, wanted: dict[str, Any]) -> Path:
    """The configuration that the role would write."""
    # As Ansible sets it up.
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    environment.filters["to_json"] = json.dumps
    template = environment.from_string((ansible / "roles/adaspring/templates/adaspringd.toml.j2").read_text())
    path = folder / "adaspringd.toml"
    path.write_text(template.render(adaspring_config=wanted, ansible_managed="managed"))
    return path


def test_several_models_are_written(ansible: Path, tmp_path: Path) -> None:
    """A list of models arrives as one."""
    models = [{"bundle": "har", "priority": 1}, {"bundle": "sound", "latency_p95_ms": 90.0}]
    config = load_config(rendered(ansible, tmp_path, {"models": models, "bundles": {"keys": ["a", "b"]}}))
    assert [("har", 1, None), ("sound", 5, 90.0)] == [
        (model.bundle, model.priority, model.latency_p95_ms) for model in config.models
    ]
    assert ("a", "b") == config.bundles.keys


@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "seed": 3,
            "serve": {"tcp": "tcp://0.0.0.0:5560", "curve_secret": "daemon.key_secret", "curve_clients": "clients"},
            "policy": {"latency_p95_ms": 12.5, "trigger": {"min_dwell_s": 3.0}},
            "bundles": {"allow_unsigned": False, "trial": {"duration_s": 60.0, "starts": 2}},
        },
    ],
)
def test_the_written_configuration_is_one(
    ansible: Path, role: dict[str, Any], tmp_path: Path, more: dict[str, Any]
) -> None:
    """The daemon reads what the role writes, from its defaults and from nested sections, and nothing gets lost."""
    wanted = {**role["defaults"]["adaspring_config"], **more}
    config = load_config(rendered(ansible, tmp_path, wanted))
    assert wanted["bundle"] == config.bundle
    if more:
        assert (3, "clients", 12.5, 3.0) == (
            config.seed, config.serve.curve_clients, config.policy.latency_p95_ms, config.policy.trigger.min_dwell_s,
        )  # fmt: skip
        assert (False, 60.0, 2) == (
            config.bundles.allow_unsigned, config.bundles.trial.duration_s, config.bundles.trial.starts,
        )  # fmt: skip


@pytest.mark.parametrize("playbook", ["site.yml", "collect.yml"])
def test_ansible_agrees(ansible: Path, playbook: str) -> None:
    """Where Ansible is installed, its own check of the syntax finds nothing."""
    tool = shutil.which("ansible-playbook")
    if tool is None:
        pytest.skip("ansible-playbook is not installed")
    command = [tool, "--syntax-check", "--inventory", "adaspring,", str(ansible / playbook)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert 0 == result.returncode, result.stderr


def test_the_agent_reads_the_endpoint_and_sends_it_on(clone: Path) -> None:
    """The port is that of the comment, the instance is the device, and promtool finds nothing to say."""
    path = clone / "deploy" / "prometheus" / "agent.yml"
    agent = yaml.safe_load(path.read_text())
    (target,) = agent["scrape_configs"][0]["static_configs"][0]["targets"]
    port = re.search(r"http_port = (\d+)", path.read_text())
    assert port is not None
    assert f"127.0.0.1:{port[1]}" == target
    (write,) = agent["remote_write"]
    assert {"source_labels": ["device"], "target_label": "instance"} in write["write_relabel_configs"]
    assert "device" in agent["global"]["external_labels"]
    found = subprocess.run(["/bin/sh", clone / "scripts" / "promtool.sh"], check=False, capture_output=True, text=True)
    if found.returncode == 0:
        tool = found.stdout.strip()
        subprocess.run([tool, "check", "config", "--agent", "--syntax-only", path], check=True)


def test_health_is_told_as_thin_edge_expects_it(clone: Path, small_bundle_folder: Path, tmp_path: Path) -> None:
    """A service that is registered and up while the daemon answers, and down when it does not; both are retained."""
    said = tmp_path / "said"
    tedge, ctl = tmp_path / "tedge", tmp_path / "adaspringctl"
    tedge.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{said}\n')
    config = {
        "bundle": str(small_bundle_folder),
        "device": {"profile": "generic-x86_64", "background_profiling": False},
    }

    def published() -> dict[str, Any]:
        said.unlink(missing_ok=True)
        environment = {**os.environ, "ADASPRINGCTL": str(ctl), "TEDGE": str(tedge)}
        subprocess.run([clone / "deploy/thin-edge/adaspring-health"], check=True, env=environment)
        words = said.read_text().splitlines()
        assert ["mqtt", "pub", "--retain"] == words[:3] == words[5:8]
        return {words[3]: json.loads(words[4]), words[8]: json.loads(words[9])}

    with DaemonProcess(config, sysroot=tmp_path / "nothing") as daemon:
        module = f"{shlex.quote(sys.executable)} -m adaspring.cli.adaspringctl"
        ctl.write_text(f'#!/bin/sh\nexec {module} --socket {daemon.folder}/run "$@"\n')
        for script in (tedge, ctl):
            script.chmod(0o755)
        told = published()
        assert "service" == told["te/device/main/service/adaspringd"]["@type"]
        health = told["te/device/main/service/adaspringd/status/health"]
        assert "up" == health["status"]
        assert isinstance(health["pid"], int)
        assert abs(health["time"] - time.time()) < 3600
        daemon.stop()
        assert "down" == published()["te/device/main/service/adaspringd/status/health"]["status"]
