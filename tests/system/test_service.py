"""The package under a real systemd: installed, started, asked, hurt, reloaded, removed."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks.machine import Machine

# A boot, an installation and a watchdog that waits for a quarter of a minute.
pytestmark = pytest.mark.timeout(600)


def status(machine: Machine) -> dict[str, object]:
    """What ``adaspringctl status --json`` tells."""
    told: dict[str, object] = json.loads(machine.run("adaspringctl status --json"))
    return told


def shown(machine: Machine, name: str, unit: str = "adaspringd") -> str:
    """A property of a unit."""
    return machine.run(f"systemctl show --property={name} --value {unit}")


def journal(machine: Machine, message: str) -> list[dict[str, str]]:
    """Entries of a kind in the journal, oldest first."""
    code = f"from adaspring.app.messages import Message; print(Message.{message}.value)"
    lines = machine.run(f"journalctl --output=json MESSAGE_ID={machine.python(code)}").splitlines()
    return [json.loads(line) for line in lines]


def test_installed_package_serves(serving: Machine) -> None:
    """The package starts its service, which says READY and what it does, and answers a frame."""
    assert "active" == serving.run("systemctl is-active adaspringd")
    assert "enabled" == serving.run("systemctl is-enabled adaspringd")
    assert re.search(r"expecting \d+\.\d % accuracy, \d+ us", shown(serving, "StatusText"))


def test_sensors_are_read_from_inside_the_unit(serving: Machine) -> None:
    """Hardening leaves memory, its pressure and a thermal zone readable; none of them is made up."""
    serving.eventually("adaspringctl status --json | grep -q temperature_c")
    context = status(serving)["context"]
    assert isinstance(context, dict)
    assert 61.5 == pytest.approx(context["temperature_c"], abs=0.1)
    assert context["memory_available_mib"] > 0
    assert context["memory_pressure_percent"] is not None


def test_journal_explains_with_fields(serving: Machine) -> None:
    """Events carry stable identifiers and fields, and ``journalctl -x`` explains them."""
    entry = journal(serving, "SERVING")[-1]
    assert ("ipc:///run/adaspring/infer.sock", "har") == (entry["ADASPRING_ENDPOINT"], entry["ADASPRING_BUNDLE"])
    assert "adaspringd" == entry["SYSLOG_IDENTIFIER"]
    explained = serving.run(f"journalctl --catalog --no-pager MESSAGE_ID={entry['MESSAGE_ID']}")
    assert "The daemon answers frames at ipc:///run/adaspring/infer.sock" in explained


def test_reload_keeps_the_process(serving: Machine) -> None:
    """A reload takes new configuration in the same process and is over when the daemon serves again."""
    process = shown(serving, "MainPID")
    serving.run("cp /etc/adaspring/adaspringd.toml /tmp/before.toml")
    serving.run("printf '\\n[monitor]\\ninterval_s = 0.5\\n' >> /etc/adaspring/adaspringd.toml")
    serving.run("systemctl reload adaspringd")
    assert process == shown(serving, "MainPID")
    assert "active" == serving.run("systemctl is-active adaspringd")
    serving.ask()
    assert journal(serving, "RELOADED")

    serving.run("printf 'interval_s = 0\\n' >> /etc/adaspring/adaspringd.toml")
    serving.run("! systemctl reload adaspringd")
    assert process == shown(serving, "MainPID")
    serving.ask()
    assert journal(serving, "RELOAD_REFUSED")
    serving.run("cp /tmp/before.toml /etc/adaspring/adaspringd.toml")


def test_killed_daemon_comes_back(serving: Machine) -> None:
    """After SIGKILL another one serves, by the service manager's doing."""
    process = shown(serving, "MainPID")
    serving.run("systemctl kill --signal=KILL adaspringd")
    serving.ask()
    assert process != shown(serving, "MainPID")


def test_watchdog_survives_a_pause_and_catches_a_stop(serving: Machine) -> None:
    """Stopped for 5 s the daemon goes on as the same process; stopped for good it is replaced."""
    process = shown(serving, "MainPID")
    serving.run(f"kill -STOP {process}; sleep 5; kill -CONT {process}")
    serving.ask()
    assert process == shown(serving, "MainPID")
    serving.run(f"kill -STOP {process}")
    serving.eventually(f"! systemctl show --property=MainPID --value adaspringd | grep -Ew '{process}|0'")
    serving.ask()
    assert serving.run("journalctl --unit=adaspringd | grep -c 'Watchdog timeout'") == "1"


def test_wrong_configuration_ends_with_78_and_no_loop(serving: Machine) -> None:
    """A key that does not exist ends the start with 78; nothing is tried again until a person acts."""
    serving.run("cp /etc/adaspring/adaspringd.toml /tmp/before.toml")
    serving.run("printf '\\n[monitr]\\n' >> /etc/adaspring/adaspringd.toml")
    serving.run("! systemctl restart adaspringd")
    restarts = shown(serving, "NRestarts")
    assert ("78", "failed") == (shown(serving, "ExecMainStatus"), shown(serving, "ActiveState"))
    assert "did you mean monitor?" in journal(serving, "CONFIGURATION_WRONG")[-1]["MESSAGE"]
    serving.run("sleep 2")
    assert restarts == shown(serving, "NRestarts")
    serving.run("cp /tmp/before.toml /etc/adaspring/adaspringd.toml")

    # In spite of its hardening the report's unit reads the journal of the daemon, and keeps why it failed.
    serving.eventually("! systemctl is-active adaspringd-failed | grep activating")
    assert "success" == shown(serving, "Result", "adaspringd-failed")
    kept = serving.run("tar -xzO -f /var/lib/adaspring/failure.tar.gz --wildcards '*journal.txt'")
    assert "did you mean monitor?" in kept


def test_stop_answers_and_leaves_nothing(serving: Machine) -> None:
    """A stop ends well, in time, and takes the sockets with it."""
    serving.run("systemctl stop adaspringd")
    assert ("0", "success") == (shown(serving, "ExecMainStatus"), shown(serving, "Result"))
    serving.run("[ ! -e /run/adaspring/infer.sock ]")


def test_manual_and_completion_are_installed(machine: Machine) -> None:
    """Pages for every command, and completion for bash and zsh."""
    machine.run("zcat /usr/share/man/man1/adaspringctl.1.gz | grep -q status")
    machine.run("[ -s /usr/share/man/man8/adaspringd.8.gz ]")
    machine.run("bash -n /usr/share/bash-completion/completions/adaspringctl")
    machine.run("[ -s /usr/share/zsh/vendor-completions/_adaspringctl ]")


def test_zz_removal_keeps_configuration_and_purge_cleans(machine: Machine) -> None:
    """Removal leaves what an operator wrote, an installation after it takes it up, purge leaves nothing."""
    machine.run("printf '# mine\\n' >> /etc/adaspring/adaspringd.toml")
    machine.run("dpkg --remove adaspring")
    machine.run("[ ! -e /opt/adaspring/bin/adaspringd ] && grep -q mine /etc/adaspring/adaspringd.toml")
    machine.run("dpkg --install --force-confold /srv/adaspring.deb")
    machine.run("grep -q mine /etc/adaspring/adaspringd.toml")
    machine.ask()
    machine.run("dpkg --purge adaspring")
    machine.run("[ ! -e /opt/adaspring ] && [ ! -e /etc/adaspring ] && [ ! -e /var/lib/adaspring ]")
