"""The package under a real systemd: installed, started, asked, hurt, reloaded, removed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def configured(machine: Machine, configuration: str, drop_in: str = "") -> Iterator[None]:
    """The daemon with more configuration, and with a command that sets up a drop-in; as before afterwards."""
    folder = "/etc/systemd/system/adaspringd.service.d"
    machine.run(f"cp /etc/adaspring/adaspringd.toml /tmp/before.toml; cp -r {folder} /tmp/before.d")
    machine.run(f"cat >> /etc/adaspring/adaspringd.toml <<'TOML'\n{configuration}\nTOML")
    machine.run(f"cd {folder}; {drop_in or 'true'}")
    try:
        machine.run("systemctl daemon-reload; systemctl restart adaspringd")
        yield
    finally:
        machine.run("cp /tmp/before.toml /etc/adaspring/adaspringd.toml")
        machine.run(f"rm -r {folder}; mv /tmp/before.d {folder}; systemctl daemon-reload; systemctl restart adaspringd")


#: A client over TCP, with keys, in the environment of the package.
ASK_TCP = """
import numpy as np
from adaspring.client import Client
from adaspring.client.curve import CurveKeys
keys = CurveKeys.load("/root/laptop.key_secret", "/etc/adaspring/curve/daemon.key")
with Client("tcp://127.0.0.1:5560", curve=keys, timeout_s=30) as client:
    print(client.infer(np.zeros((1, *client.meta().inputs[0].shape[1:]), np.float32)).subnet)
"""


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


def test_threads_may_be_idle_and_come_back(serving: Machine) -> None:
    """The unit asks for it; a container may grant less, as here it may, and the daemon serves all the same."""
    assert "20" == shown(serving, "LimitNICE")
    serving.ask()


def test_tcp_with_keys_that_only_root_reads(serving: Machine) -> None:
    """With tcp.conf a client that has a listed key is answered; the daemon got the keys as credentials."""
    serving.run("adaspringctl keys daemon --folder /etc/adaspring/curve && adaspringctl keys laptop --folder /root")
    serving.run("mkdir /etc/adaspring/curve/clients && cp /root/laptop.key /etc/adaspring/curve/clients")
    serving.run("! setpriv --reuid=adaspring --clear-groups cat /etc/adaspring/curve/daemon.key_secret")
    configuration = (
        "[serve]\ntcp = 'tcp://127.0.0.1:5560'\ncurve_secret = 'daemon.key_secret'\ncurve_clients = 'clients'"
    )
    with configured(serving, configuration, "cp /usr/share/adaspring/drop-ins/tcp.conf ."):
        assert serving.python(ASK_TCP)
        serving.ask()
        exposure = serving.run("systemd-analyze security --no-pager adaspringd | tail -n 1")
        found = re.search(r"exposure level for adaspringd.service: (\d)\.(\d)", exposure)
        assert found, exposure
        assert 10 * int(found[1]) + int(found[2]) <= 15


def test_loopback_faces_need_their_drop_in_alone(serving: Machine) -> None:
    """With metrics.conf Prometheus finds its endpoint, and HTTP clients theirs."""
    configuration = "[serve]\nhttp = '127.0.0.1:8000'\n[metrics]\nhttp_port = 9464"
    with configured(serving, configuration, "cp /usr/share/adaspring/drop-ins/metrics.conf ."):
        serving.ask()
        fetch = "/opt/adaspring/bin/python -c \"import urllib.request as r; print(r.urlopen('{}').read())\""
        # The first look at the sensors fills it.
        serving.eventually(f"{fetch.format('http://127.0.0.1:9464/metrics')} | grep -q adaspring_requests_total")
        # Anything but a status of 2xx is an exception there.
        serving.run(fetch.format("http://127.0.0.1:8000/v2/health/ready"))


@pytest.mark.parametrize("board", ["raspberry-pi", "jetson"])
def test_drop_in_of_a_board_keeps_it_serving(serving: Machine, board: str) -> None:
    """Also where a device that it lets in is not there."""
    serving.run("groupadd --force --system video; groupadd --force --system render")
    with configured(serving, "", f"cp /usr/share/adaspring/drop-ins/{board}.conf ."):
        serving.ask()
        assert "no" == shown(serving, "PrivateDevices")


def test_signed_bundle_is_installed_by_root_and_committed_by_the_daemon(serving: Machine) -> None:
    """The key that signed it is a credential of the unit; the daemon, which is not root, ends the trial."""
    serving.run(
        "adaspringctl bundle make-key /root/vendor.key /root/vendor.pub && cp -r /srv/models/har/bundle /root/har"
    )
    serving.run('sed -i \'s/"version": *"[^"]*"/"version": "9.9"/\' /root/har/manifest.json')
    configuration = "[bundles]\nkeys = ['vendor.pub']\ntrial = { duration_s = 0.5 }"
    drop_in = "printf '[Service]\\nLoadCredential=vendor.pub:/root/vendor.pub\\n' > vendor.conf"
    with configured(serving, configuration, drop_in):
        serving.run("! adaspringctl bundle install /root/har")
        serving.run("adaspringctl bundle sign /root/har --key /root/vendor.key")
        serving.run("adaspringctl bundle install /root/har")
        assert "9.9" == status(serving)["bundle_version"]
        serving.eventually('adaspringctl bundle list --json | grep -q \'"state": *"current"\'')
        serving.run("adaspringctl bundle rollback")
        assert "9.9" != status(serving)["bundle_version"]


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


@pytest.mark.parametrize(("options", "told"), [("ro", "Read-only file system"), ("size=4k", "No space left on device")])
def test_nothing_can_be_written(serving: Machine, options: str, told: str) -> None:
    """Read-only or full, the disk keeps no daemon from starting, saying so once, and serving.

    All but its own folders is read-only for the daemon anyway (ProtectSystem=strict).
    """
    folder = "/var/lib/adaspring"
    serving.run("systemctl stop adaspringd")
    since = serving.run("date '+%F %T'")
    serving.run(f"mount -t tmpfs -o {options},mode=750,uid=$(id -u adaspring),gid=$(id -g adaspring) tmpfs {folder}")
    try:
        serving.run(f"! head --bytes=8192 /dev/zero > {folder}/filler")
        serving.run("systemctl start adaspringd")
        serving.ask()
        process = shown(serving, "MainPID")
        serving.eventually(f"journalctl --unit=adaspringd --since='{since}' | grep -q 'serving goes on: .*{told}'")
        serving.run("adaspringctl evolve > /dev/null")
        serving.ask()
        assert process == shown(serving, "MainPID")
    finally:
        serving.run(f"systemctl stop adaspringd; umount {folder}")


def test_first_frame_starts_the_daemon(serving: Machine) -> None:
    """With adaspringd.socket systemd holds the inference socket, and what is sent while nobody serves is answered."""
    serving.run("systemctl stop adaspringd && systemctl start adaspringd.socket")
    assert "inactive" == shown(serving, "ActiveState")
    assert "660 adaspring" == serving.run("stat --format='%a %G' /run/adaspring/infer.sock")
    serving.ask()
    assert "active" == shown(serving, "ActiveState")
    serving.run("systemctl kill --signal=KILL adaspringd")
    serving.ask()
    serving.run("systemctl stop adaspringd && [ -S /run/adaspring/infer.sock ]")
    serving.run("systemctl stop adaspringd.socket adaspringd && [ ! -e /run/adaspring/infer.sock ]")


def test_manual_and_completion_are_installed(machine: Machine) -> None:
    """Pages for every command, and completion for bash and zsh."""
    machine.run("zcat /usr/share/man/man1/adaspringctl.1.gz | grep -q status")
    machine.run("[ -s /usr/share/man/man8/adaspringd.8.gz ]")
    machine.run("bash -n /usr/share/bash-completion/completions/adaspringctl")
    machine.run("[ -s /usr/share/zsh/vendor-completions/_adaspringctl ]")


def test_bill_of_materials_tells_what_is_installed(machine: Machine) -> None:
    """Every library of the bill is there in its version, and the list of licences beside it."""
    bill = json.loads(machine.run("cat /usr/share/doc/adaspring/adaspring.cdx.json"))
    told = {each["name"]: each["version"] for each in bill["components"] if each["type"] == "library"}
    code = f"from importlib.metadata import version; print(*(f'{{n}}=={{version(n)}}' for n in {sorted(told)}))"
    assert [f"{name}=={told[name]}" for name in sorted(told)] == machine.python(code).split()
    machine.run("grep -q BSD-3-Clause /usr/share/doc/adaspring/licences.txt")


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
