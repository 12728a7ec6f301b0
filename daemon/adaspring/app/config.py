"""Configuration of the daemon: TOML, validated before anything else happens."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from adaspring.app.metrics import MetricsConfig
from adaspring.app.model_config import ModelConfig
from adaspring.app.trial import TrialConfig
from adaspring.decide import LOWEST_PRIORITY, Policy, with_preset
from adaspring.engine import EngineChoice
from adaspring.errors import ConfigError
from adaspring.toml_file import nearest, read_toml

#: Longest time between two looks at the sensors, in seconds: a context of more than a minute ago is none.
MOST_INTERVAL_S = 60.0
#: Longest wait awake for a frame, in microseconds: to be woken takes less than a tenth of it.
MOST_SPIN_US = 1000.0
#: Models at most: a decision about so many takes some milliseconds.
MOST_MODELS = 4


class PathsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the daemon keeps its files.

    Attributes:
        runtime: Folder of the sockets. Default: ``$RUNTIME_DIRECTORY`` as systemd gives it,
            else ``/run/adaspring`` for root and ``$XDG_RUNTIME_DIR/adaspring`` for others.
        state: Folder of the device tables. Default: ``$STATE_DIRECTORY``, else
            ``/var/lib/adaspring`` for root and ``$XDG_STATE_HOME/adaspring`` for others.
    """

    runtime: str = ""
    state: str = ""


class ServeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The inference socket.

    Attributes:
        queue_size: Requests that wait at most; one more is answered UNAVAILABLE.
        socket_mode: File mode of the inference and event sockets, in octal.
        tcp: Also serve clients on other machines here, for example ``"tcp://0.0.0.0:5560"``;
            needs the two keys below. Default: no TCP.
        http: Also serve the Open Inference Protocol v2 over HTTP on this loopback address, for
            example ``"127.0.0.1:8000"``; needs the extra ``http``. Default: no HTTP.
        curve_secret: The daemon's ``.key_secret`` file, made by ``adaspringctl keys``; without a slash, the name
            of a credential of the unit.
        curve_clients: Folder of the ``.key`` files of those who may connect over TCP; without a slash, the name
            under which the unit loads that folder as credentials.
        spin_us: How long to look for the next frame before sleeping, while frames come as fast and the device
            runs on external power and unthrottled, in microseconds; 0 sleeps at once. It buys latency with a core.
    """

    queue_size: int = 64
    socket_mode: str = "660"
    tcp: str = ""
    http: str = ""
    curve_secret: str = ""
    curve_clients: str = ""
    spin_us: float = 0.0


class EngineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What runs the subnets.

    Attributes:
        name: ``"auto"``, ``"onnxruntime"`` or ``"torch"``. Default: what the device profile names, or the other
            where that is not installed.
        threads: Threads of one frame.
        cache_mib: The most memory that prepared subnets kept to go back to may take, in MiB, and no more than a
            64th of the board's; 0 keeps none.
    """

    name: EngineChoice = "auto"
    threads: int = 1
    cache_mib: float = 32.0


class MonitorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The context monitor.

    Attributes:
        interval_s: Time between two looks at the sensors, in seconds; at most a minute.
        sysroot: Root of the tree in which sensors are read; another than ``/`` replays a board.
    """

    interval_s: float = 1.0
    sysroot: str = "/"


class DeviceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The board.

    Attributes:
        profile: Name of a device profile, the path of one, or ``"auto"`` to detect it.
        background_profiling: Whether to measure the bundle in the background, at lowest
            priority, when no tables are there for this device.
    """

    profile: str = "auto"
    background_profiling: bool = True


class BundlesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which bundles may be installed, and how they prove themselves.

    Attributes:
        keys: Public keys (Ed25519, PEM) that may have signed a bundle; without a slash, names of credentials of
            the unit.
        allow_unsigned: Whether a bundle without a signature may be installed. A wrong signature never may.
        keep: Installed versions kept besides the current and the previous one.
        trial: When a newly installed bundle is committed or rolled back.
    """

    keys: tuple[str, ...] = ()
    allow_unsigned: bool = False
    keep: int = 3
    trial: TrialConfig = TrialConfig()


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be configured.

    Attributes:
        bundle: Folder of the bundle, or the name of one: as installed, else as it ships with AdaSpring.
        models: Several models instead of one bundle.
        seed: Seed of the search, not negative.
        paths: Where files lie.
        serve: The inference socket.
        engine: What runs the subnets.
        monitor: The context monitor.
        device: The board.
        bundles: Which bundles may be installed.
        metrics: Where metrics go.
        policy: From context to budgets to triggers (``docs/policy.md``).
    """

    bundle: str = "har"
    models: tuple[ModelConfig, ...] = ()
    seed: int = 0
    paths: PathsConfig = PathsConfig()
    serve: ServeConfig = ServeConfig()
    engine: EngineConfig = EngineConfig()
    monitor: MonitorConfig = MonitorConfig()
    device: DeviceConfig = DeviceConfig()
    bundles: BundlesConfig = BundlesConfig()
    metrics: MetricsConfig = MetricsConfig()
    policy: Policy = Policy()

    @property
    def served(self) -> tuple[ModelConfig, ...]:
        """The models to serve, the highest priority first."""
        return tuple(sorted(self.models or (ModelConfig(self.bundle),), key=lambda model: model.priority))


def load_config(path: Path) -> Config:
    """Read and validate a configuration file.

    Raises:
        ConfigError: With the file, the key, what it must be, and for an unknown key the
            one that was probably meant.
    """
    return parse_config(read_toml(path, ConfigError), str(path))


def parse_config(data: dict[str, Any], where: str) -> Config:
    """Validate configuration that was read from ``where``.

    Raises:
        ConfigError: As `load_config`.
    """
    _refuse(where, _unknown_keys(data, Config) + _infinite_keys(data))
    try:
        if isinstance(data.get("policy"), dict):
            data = {**data, "policy": with_preset(data["policy"])}
        config = msgspec.convert(data, Config)
    except (msgspec.ValidationError, ConfigError) as error:
        raise ConfigError(f"{where}: {error}") from error
    _refuse(where, _violations(config))
    if config.models and "bundle" in data:
        raise ConfigError(f"{where}: bundle and [[models]] both say what is served: keep one of them")
    try:
        for model in config.models:
            model.policy(config.policy)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    return config


def runtime_folder(config: Config) -> Path:
    """Folder of the sockets (see `PathsConfig`)."""
    return _folder(config.paths.runtime, "RUNTIME_DIRECTORY", "/run/adaspring", "XDG_RUNTIME_DIR", key="paths.runtime")


def state_folder(config: Config) -> Path:
    """Folder of the device tables (see `PathsConfig`)."""
    home = str(Path.home() / ".local/state")
    return _folder(
        config.paths.state, "STATE_DIRECTORY", "/var/lib/adaspring", "XDG_STATE_HOME", key="paths.state", default=home
    )


def _folder(given: str, systemd: str, of_root: str, of_user: str, *, key: str, default: str | None = None) -> Path:
    if given:
        return Path(given)
    if os.environ.get(systemd):
        # systemd separates several directories by colons; ours is the first.
        return Path(os.environ[systemd].split(":")[0])
    if os.geteuid() == 0:
        return Path(of_root)
    base = os.environ.get(of_user) or default
    if base is None:
        raise ConfigError(f"${of_user} is not set, so there is no place of your own: set {key}")
    return Path(base) / "adaspring"


def _refuse(where: str, messages: list[str]) -> None:
    if messages:
        raise ConfigError(f"{where}: " + "; ".join(messages))


def _violations(config: Config) -> list[str]:
    checks = {
        "seed must not be negative": config.seed >= 0,
        f"models.priority must lie between 1 and {LOWEST_PRIORITY}": (
            all(1 <= model.priority <= LOWEST_PRIORITY for model in config.models)
        ),
        f"there may be {MOST_MODELS} models at most": len(config.models) <= MOST_MODELS,
        "two models have the same bundle": len({model.bundle for model in config.models}) == len(config.models),
        f"monitor.interval_s must lie above 0 and up to {MOST_INTERVAL_S:g}": (
            0 < config.monitor.interval_s <= MOST_INTERVAL_S
        ),
        "serve.queue_size must be at least 1": config.serve.queue_size >= 1,
        "serve.tcp needs serve.curve_secret and serve.curve_clients (make them with 'adaspringctl keys'):"
        " without CURVE anybody on the network could use the daemon": (
            not config.serve.tcp or bool(config.serve.curve_secret and config.serve.curve_clients)
        ),
        "bundles.keep must not be negative": config.bundles.keep >= 0,
        "bundles.trial.duration_s must not be negative": config.bundles.trial.duration_s >= 0,
        "bundles.trial.starts must be at least 1": config.bundles.trial.starts >= 1,
        "bundles.trial.failed_percent must lie between 0 and 100": 0 <= config.bundles.trial.failed_percent <= 100,  # noqa: PLR2004 - percent
        "bundles.trial.latency_ratio must be at least 1": config.bundles.trial.latency_ratio >= 1,
        "metrics.interval_s must be at least 1": config.metrics.interval_s >= 1,
        "metrics.http_port must lie between 0 and 65535": 0 <= config.metrics.http_port <= 65535,  # noqa: PLR2004 - ports
        f"serve.spin_us must lie between 0 and {MOST_SPIN_US:g}": 0 <= config.serve.spin_us <= MOST_SPIN_US,
        "engine.threads must be at least 1": config.engine.threads >= 1,
        "engine.cache_mib must not be negative": config.engine.cache_mib >= 0,
        "serve.socket_mode must be an octal file mode such as 660": _is_mode(config.serve.socket_mode),
    }
    return [message for message, holds in checks.items() if not holds]


def _is_mode(text: str) -> bool:
    return len(text) == 3 and all(digit in "01234567" for digit in text)  # noqa: PLR2004 - owner, group, others


def _unknown_keys(data: dict[str, Any], kind: type[msgspec.Struct], prefix: str = "") -> list[str]:
    hints = get_type_hints(kind)
    messages: list[str] = []
    for key, value in data.items():
        if key not in hints:
            messages.append(f"unknown key {prefix}{key}: {nearest(key, hints, prefix)}")
        elif isinstance(value, dict) and _is_struct(hints[key]):
            messages += _unknown_keys(value, hints[key], f"{prefix}{key}.")
        elif key == "models" and isinstance(value, list):
            tables = (table for table in value if isinstance(table, dict))
            messages += [message for table in tables for message in _unknown_keys(table, ModelConfig, "models.")]
    return messages


def _infinite_keys(data: dict[str, Any], prefix: str = "") -> list[str]:
    """TOML has inf and nan; no key of ours has a meaning for them."""
    messages: list[str] = []
    for key, value in data.items():
        if isinstance(value, dict):
            messages += _infinite_keys(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            tables = (table for table in value if isinstance(table, dict))
            messages += [message for table in tables for message in _infinite_keys(table, f"{prefix}{key}.")]
        elif isinstance(value, float) and not math.isfinite(value):
            messages.append(f"{prefix}{key} must be a finite number; it is {value}")
    return messages


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct) and not get_args(hint)
