from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.app.config import (
    Config,
    EngineConfig,
    PathsConfig,
    load_config,
    parse_config,
    runtime_folder,
    state_folder,
)
from adaspring.app.installed import cache_limit_mib
from adaspring.boards import load_profile
from adaspring.decide import Policy
from adaspring.errors import ConfigError
from adaspring.resources import resource

#: A value other than the default for every key but those of the policy, which has tests of its own.
EVERY_KEY: dict[str, Any] = {
    "bundle": "/srv/bundle",
    "seed": 7,
    "paths": {"runtime": "/tmp/run", "state": "/tmp/state"},  # noqa: S108 - only names, nothing is made there
    "serve": {"queue_size": 3, "socket_mode": "600"},
    "engine": {"name": "torch", "threads": 4, "cache_mib": 0.0},
    "monitor": {"interval_s": 0.25, "sysroot": "/srv/board"},
    "device": {"profile": "raspberry-pi-5", "background_profiling": False},
    "policy": {
        "latency_p95_ms": 5.0,
        "relaxation_order": ("memory", "latency", "energy", "accuracy"),
        "trigger": {"min_dwell_s": 2.0},
    },
}


def written(folder: Path, text: str) -> Path:
    """A configuration file."""
    path = folder / "adaspringd.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    """Nothing needs to be configured to serve the bundle that ships."""
    config = load_config(written(tmp_path, ""))
    assert Config() == config
    assert ("har", "auto", "auto") == (config.bundle, config.engine.name, config.device.profile)


@pytest.mark.parametrize(("configured_mib", "held_mib"), [(0.0, 0.0), (3.0, 3.0), (1000.0, 8.0)])
def test_a_small_board_keeps_few_prepared_subnets(configured_mib: float, held_mib: float) -> None:
    """As configured, and no more than a 64th of the memory that the profile names: 8 MiB of 512."""
    board = load_profile("raspberry-pi-zero-2w", folder=resource("device_profiles"))
    assert held_mib == cache_limit_mib(EngineConfig(cache_mib=configured_mib), board)


def test_example_shows_the_defaults(clone: Path, tmp_path: Path) -> None:
    """The configuration file that ships loads as it is and, uncommented, says the defaults."""
    example = clone / "deploy/adaspringd.toml"
    assert Config() == load_config(example)
    uncommented = re.sub(r"^# (?=\[?\w+(\] |\]$| = ))", "", example.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert Config(paths=PathsConfig("/run/adaspring", "/var/lib/adaspring")) == load_config(
        written(tmp_path, uncommented)
    )


def flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with dotted keys."""
    items: dict[str, Any] = {}
    for key, value in data.items():
        items |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return items


def test_every_section_is_read() -> None:
    """What is written arrives, in every section, and what is not stays at its default."""
    read = flat(msgspec.to_builtins(parse_config(EVERY_KEY, "x")))
    assert flat(msgspec.to_builtins(Config())) | flat(EVERY_KEY) == read


def test_models_have_what_is_asked_of_them_alone() -> None:
    """The highest priority comes first; what a model leaves out is as in the policy; one bundle is one model."""
    models = [
        {"bundle": "sound", "priority": 7, "latency_p95_ms": 90.0},
        {"bundle": "har", "priority": 1, "late_percent": 1.0},
    ]
    config = parse_config({"models": models, "policy": {"latency_p95_ms": 8.0, "max_accuracy_loss_points": 3.0}}, "x")
    asked = [(model.bundle, model.policy(config.policy)) for model in config.served]
    assert ["har", "sound"] == [name for name, _ in asked]
    assert [8.0, 90.0] == [policy.latency_p95_ms for _, policy in asked]
    assert [1.0, 5.0] == [policy.late_percent for _, policy in asked]
    assert {3.0} == {policy.max_accuracy_loss_points for _, policy in asked}
    [alone] = Config().served
    assert ("har", Policy()) == (alone.bundle, alone.policy(Policy()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bundel = 'har'", "unknown key bundel: did you mean bundle?"),
        ("[engine]\nthread = 1", r"unknown key engine\.thread: did you mean engine\.threads\?"),
        ("[policy.trigger]\nmin_dwel_s = 1", r"unknown key policy\.trigger\.min_dwel_s: did you mean .*min_dwell_s"),
        ("[serve]\nxyz = 1", r"unknown key serve\.xyz: known are queue_size, socket_mode"),
        ("[[models]]\nbundle = 'har'\npriorty = 1", r"unknown key models\.priorty: did you mean models\.priority\?"),
        ("bundel = 'har'\n[engin]", "bundel: did you mean bundle.*engin: did you mean engine"),
    ],
)
def test_unknown_key_names_the_one_that_was_meant(tmp_path: Path, text: str, message: str) -> None:
    """A slip of the pen is found, in nested tables too, and all of them at once."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 'one'", r"Expected `int`, got `str` - at `\$\.seed`"),
        ("[serve]\nqueue_size = 1.5", r"\$\.serve\.queue_size"),
        ("engine = 3", r"\$\.engine"),
        ("[engine]\nname = 'tensorflow'", r"tensorflow.*\$\.engine\.name"),
        ("[policy]\nrelaxation_order = ['energy', 'speed']", r"\$\.policy\.relaxation_order"),
        ("[policy.trigger]\nmin_dwell_s = true", r"\$\.policy\.trigger\.min_dwell_s"),
    ],
)
def test_wrong_type_names_the_key(tmp_path: Path, text: str, message: str) -> None:
    """The key, what it must be and what it is."""
    with pytest.raises(ConfigError, match=message):
        load_config(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = -1", "seed must not be negative"),
        ("[monitor]\ninterval_s = 0", "monitor.interval_s must lie above 0 and up to 60"),
        ("[monitor]\ninterval_s = 1e300", "monitor.interval_s must lie above 0 and up to 60"),
        ("[monitor]\ninterval_s = nan", "monitor.interval_s must be a finite number; it is nan"),
        ("[policy]\nlatency_p95_ms = inf", "policy.latency_p95_ms must be a finite number; it is inf"),
        ("[serve]\nqueue_size = 0", "serve.queue_size must be at least 1"),
        ("[engine]\nthreads = 0", "engine.threads must be at least 1"),
        ("[engine]\ncache_mib = -1", "engine.cache_mib must not be negative"),
        ("[policy]\nhot_temperature_c = 90.0", "critical_temperature_c .80. must be above hot_temperature_c .90."),
        ("[policy]\nmax_utilisation = 1.0", "policy.max_utilisation must lie between 0 and 1"),
        ("[policy]\nrelaxation_order = ['energy']", "must name each of"),
        ("[policy.trigger]\nperiod_s = 0", "policy.trigger.period_s must be positive"),
        ("[[models]]\nbundle = 'har'\npriority = 10", "models.priority must lie between 1 and 9"),
        ("[[models]]\nbundle = 'har'\nlatency_p95_ms = nan", "models.latency_p95_ms must be a finite number"),
        (
            "[[models]]\nbundle = 'har'\nlatency_p95_ms = 0",
            "models, bundle har: policy.latency_p95_ms must be positive",
        ),
        ("bundle = 'har'\n[[models]]\nbundle = 'har'", r"bundle and \[\[models\]\] both say"),
        ("[[models]]\nbundle = 'har'\n" * 2, "two models have the same bundle"),
        ("".join(f"[[models]]\nbundle = 'b{each}'\n" for each in range(5)), "4 models at most"),
        ("[engine]\nthreads = 0\n[serve]\nqueue_size = 0", "queue_size must be at least 1; engine.threads"),
    ],
)
def test_impossible_value_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """A value that cannot be, or two that contradict each other, are refused at start and not in the field."""
    with pytest.raises(ConfigError, match=message):
        load_config(written(tmp_path, text))


@pytest.mark.parametrize("mode", ["", "66", "0660", "0o660", "888", "rw-", "-60", "6 0", "٦٦٠"])
def test_bad_socket_mode_is_refused(mode: str) -> None:
    """Three octal digits, and nothing that only looks like them."""
    with pytest.raises(ConfigError, match=r"serve\.socket_mode must be an octal file mode such as 660"):
        parse_config({"serve": {"socket_mode": mode}}, "x")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"bundle = \n", "this is not TOML: .*line 1"), (b"bundle = '\xff'", "cannot be read: .*utf-8")],
)
def test_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """The message names the file and, where it can, the line."""
    path = tmp_path / "adaspringd.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert str(path) in str(caught.value)


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file and a folder are told apart."""
    with pytest.raises(ConfigError, match=r"none\.toml: there is no such file"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"cannot be read: .*directory"):
        load_config(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.dictionaries(
        st.sampled_from(Config.__struct_fields__),
        JSON | st.dictionaries(st.sampled_from(["interval_s", "trigger", "queue_size", "runtime"]), JSON),
    )
)
def test_whatever_is_configured_is_read_or_refused(data: dict[str, Any]) -> None:
    """No value, however wrong, gets past validation as anything but a `ConfigError`."""
    try:
        config = parse_config(data, "x")
    except ConfigError:
        return
    assert config.monitor.interval_s > 0


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing of folders."""
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    return monkeypatch


def folders(config: Config) -> tuple[str, str]:
    """Of sockets and of tables."""
    return str(runtime_folder(config)), str(state_folder(config))


def test_root_uses_the_folders_of_the_system(environment: pytest.MonkeyPatch) -> None:
    """A daemon that root starts by hand finds the places that the unit uses."""
    environment.setattr("os.geteuid", lambda: 0)
    environment.setenv("XDG_RUNTIME_DIR", "/run/user/0")
    assert ("/run/adaspring", "/var/lib/adaspring") == folders(Config())


def test_user_gets_folders_of_their_own(environment: pytest.MonkeyPatch) -> None:
    """Where XDG says, with the fallback that it names for state, and none for sockets."""
    environment.setattr("os.geteuid", lambda: 1000)
    assert str(state_folder(Config())) == "/home/me/.local/state/adaspring"
    with pytest.raises(ConfigError, match=r"\$XDG_RUNTIME_DIR is not set.*: set paths.runtime"):
        runtime_folder(Config())
    environment.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    environment.setenv("XDG_STATE_HOME", "/home/me/state")
    assert ("/run/user/1000/adaspring", "/home/me/state/adaspring") == folders(Config())


@pytest.mark.parametrize("euid", [0, 1000])
def test_folders_of_the_service_manager_win(environment: pytest.MonkeyPatch, euid: int) -> None:
    """The unit's folders count; of several the first is ours."""
    environment.setattr("os.geteuid", lambda: euid)
    environment.setenv("RUNTIME_DIRECTORY", "/run/one:/run/two")
    environment.setenv("STATE_DIRECTORY", "/var/lib/one")
    assert ("/run/one", "/var/lib/one") == folders(Config())


def test_configured_folders_win_over_all(environment: pytest.MonkeyPatch) -> None:
    """What a person wrote down counts."""
    environment.setenv("RUNTIME_DIRECTORY", "/run/one")
    environment.setenv("STATE_DIRECTORY", "/var/lib/one")
    assert ("/tmp/run", "/tmp/state") == folders(parse_config(EVERY_KEY, "x"))  # noqa: S108 - only names


def test_tcp_without_keys_is_refused() -> None:
    """The message says what is missing and how to make it."""
    with pytest.raises(ConfigError, match="adaspringctl keys"):
        parse_config({"serve": {"tcp": "tcp://0.0.0.0:5560"}}, "x.toml")
