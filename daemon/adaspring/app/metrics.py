"""Metrics for Prometheus: a text file for node_exporter, and an HTTP endpoint where configured."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from adaspring.app.messages import Message, told
from adaspring.app.observe import AllObserved
from adaspring.app.status import Status
from adaspring.app.totals import BOUNDS_US, Histogram
from adaspring.errors import ConfigError

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_log = logging.getLogger(__name__)

#: What Prometheus calls the units that our names end in, and by how much they differ.
_BASE_UNITS = {
    "us": ("seconds", 1e-6),
    "mib": ("bytes", 2.0**20),
    "mj": ("joules", 1e-3),
    "c": ("celsius", 1.0),
    "w": ("watts", 1.0),
    "hz": ("hertz", 1.0),
}


class MetricsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where metrics go.

    Attributes:
        textfile: File that is replaced at each write, for node_exporter's textfile collector; empty for none.
            Better on a tmpfs: flash wears out.
        interval_s: Time between two writes of it, in seconds.
        http_address: Address of the HTTP endpoint.
        http_port: Its port; 0 for none.
    """

    textfile: str = ""
    interval_s: float = 15.0
    http_address: str = "127.0.0.1"
    http_port: int = 0


class StatusCollector:
    """Turns the newest status of each model into metrics whenever somebody asks.

    Attributes:
        statuses: The newest; empty before the first.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.statuses: list[Status] = []

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        families: dict[str, Metric] = {}
        for status in self.statuses:
            for family in _families(status):
                of_model = [each._replace(labels={**each.labels, "model": status.model}) for each in family.samples]
                if family.name in families:
                    families[family.name].samples += of_model
                else:
                    family.samples = of_model
                    families[family.name] = family
        yield from families.values()


def _families(status: Status) -> Iterator[Metric]:
    from prometheus_client.core import (  # noqa: PLC0415 - only who asks for metrics needs it
        CounterMetricFamily,
        GaugeMetricFamily,
        InfoMetricFamily,
    )

    def gauge(name: str, text: str, value: float | None) -> Iterator[Metric]:
        # What is not known is left out: no number stands for it.
        if value is not None:
            yield GaugeMetricFamily(f"adaspring_{name}", text, value=float(value))

    facts = {"version": status.version, "model": status.model, "bundle_version": status.bundle_version}
    facts |= {"device": status.device, "engine": status.engine, "subnet": status.subnet}
    yield InfoMetricFamily("adaspring", "What is served, and where", value=facts)
    yield from gauge("uptime_seconds", "Since the daemon began", status.uptime_s)
    yield from gauge("generation", "How-manieth active subnet since the daemon began", status.generation)
    yield from gauge("pinned", "Whether an operator holds the subnet", status.pinned)

    requests = CounterMetricFamily("adaspring_requests", "Requests by outcome", labels=["outcome"])
    counts = status.requests
    for outcome in ("answered", "expired", "cancelled", "failed", "undelivered"):
        requests.add_metric([outcome], getattr(counts, outcome))
    for reason, count in counts.rejected.items():
        requests.add_metric([f"rejected_{reason}"], count)
    yield requests
    yield from gauge("queue_depth", "Requests that wait", counts.queue_depth)

    latency = GaugeMetricFamily(
        "adaspring_frame_latency_seconds",
        "Compute of recent frames of the active subnet",
        labels=["source", "percentile"],
    )
    measured, predicted = status.measured, status.predicted
    for source, percentile, value_us in (
        ("measured", "20", measured.latency_p20_us),
        ("measured", "50", measured.latency_p50_us),
        ("measured", "95", measured.latency_p95_us),
        ("predicted", "20", predicted.latency_us * status.latency_correction),
        ("predicted", "95", predicted.latency_p95_us),
    ):
        if value_us is not None:
            latency.add_metric([source, percentile], value_us / 1e6)
    yield latency
    yield from gauge("accuracy_percent", "Expected accuracy of the active subnet", predicted.accuracy_percent)
    yield from gauge("frame_energy_joules", "Modelled energy of a frame", predicted.energy_mj / 1e3)
    yield from gauge("full_frame_energy_joules", "The same of the full network", status.full_energy_mj / 1e3)
    decision = status.last_evolution.decision
    if decision is not None:
        yield from gauge("optimality_gap_percent", "Distance from the proven bound", decision.gap_percent)

    totals = status.totals
    yield _histogram("request_seconds", "Answered requests, arrival to reply", totals.request_us)
    yield _histogram("compute_seconds", "Compute of one frame", totals.compute_us)
    causes = CounterMetricFamily("adaspring_evolutions", "Evolutions by cause", labels=["cause"])
    for cause, count in totals.evolutions.items():
        causes.add_metric([cause], count)
    yield causes
    failures = "Evolutions that failed; the subnet before went on"
    yield CounterMetricFamily("adaspring_evolution_failures", failures, value=totals.failed_evolutions)
    yield _histogram("evolution_seconds", "Evolutions that swapped the subnet, trigger to flip", totals.evolution_us)
    yield from _numbers("context", "Smoothed context", status.context)
    yield from _numbers("budget", "Budgets of the last decision", status.budgets)


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415 - as above

    bounds = [*(str(bound_us / 1e6) for bound_us in BOUNDS_US), "+Inf"]
    buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
    return HistogramMetricFamily(f"adaspring_{name}", text, buckets=buckets, sum_value=histogram.sum_us / 1e6)


def _numbers(prefix: str, text: str, values: Any) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - as above

    for name in values.__struct_fields__:
        value = getattr(values, name)
        if isinstance(value, bool | int | float) and not name.endswith("at_s"):
            unit = name.rpartition("_")[2]
            base, factor = _BASE_UNITS.get(unit, (unit, 1.0))
            exported = f"adaspring_{prefix}_{name.removesuffix(unit)}{base}"
            yield GaugeMetricFamily(exported, f"{text}: {name}", value=value * factor)


class MetricsExporter:
    """Renews what is exported after every look at the sensors."""

    def __init__(self, config: MetricsConfig, clock: Callable[[], float] = monotonic) -> None:
        """Open what is configured.

        Args:
            config: Where metrics go.
            clock: Monotonic, in seconds.

        Raises:
            ConfigError: If the library is missing, or the endpoint cannot be opened.
        """
        try:
            import prometheus_client  # noqa: PLC0415 - most devices do without
        except ImportError as error:
            raise ConfigError("metrics need the prometheus-client package: pip install 'adaspring[metrics]'") from error
        self._write_to = prometheus_client.write_to_textfile
        self._config = config
        self._clock = clock
        self._next_s = clock()
        self._failing = False
        self._collector = StatusCollector()
        self._registry = prometheus_client.CollectorRegistry()
        self._registry.register(self._collector)
        self._server = None
        if config.http_port:
            try:
                self._server, self._thread = prometheus_client.start_http_server(
                    config.http_port, config.http_address, self._registry
                )
            except OSError as error:
                raise ConfigError(
                    f"metrics.http_address {config.http_address}, port {config.http_port}: {error.strerror}"
                ) from error

    def observe(self, views: AllObserved) -> None:
        """See `AllObserver.observe`."""
        self._collector.statuses = views.statuses()
        if self._config.textfile and self._clock() >= self._next_s:
            self._next_s = self._clock() + self._config.interval_s
            self._write(Path(self._config.textfile))

    def close(self) -> None:
        """Close the endpoint; a text file of a daemon that ended would lie."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
        if self._config.textfile:
            Path(self._config.textfile).unlink(missing_ok=True)

    def _write(self, path: Path) -> None:
        try:
            self._write_to(str(path), self._registry)
        except OSError as error:
            if not self._failing:
                _log.error(
                    "metrics cannot be written to %s, serving goes on: %s",
                    path,
                    error,
                    extra=told(Message.STATE_NOT_WRITTEN, folder=path.parent),
                )
            self._failing = True
        else:
            self._failing = False
