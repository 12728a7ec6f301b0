from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from adaspring.app.counters import LEAST_FRAMES
from adaspring.app.metrics import MetricsConfig, MetricsExporter
from adaspring.errors import ConfigError

if TYPE_CHECKING:
    from tests.app.conftest import RunningLoop

Run: TypeAlias = "Callable[..., RunningLoop]"
X = np.random.default_rng(0).standard_normal((3, 32), dtype=np.float32)


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Values by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def asked(run_loop: Run, exporter: MetricsExporter) -> RunningLoop:
    """A loop that answered frames, looked at by an exporter."""
    running = run_loop()
    with running.client() as client:
        for _ in range(LEAST_FRAMES):
            client.infer(X)
    exporter.observe(running.loop)
    return running


def test_text_file_tells_what_the_status_tells(run_loop: Run, tmp_path: Path) -> None:
    """Outcomes, latency, accuracy, context and causes are in the file; what is not known is not."""
    path = tmp_path / "metrics.prom"
    exporter = MetricsExporter(MetricsConfig(textfile=str(path)))
    running = asked(run_loop, exporter)
    told = samples(path.read_text())
    assert told["adaspring_requests_total", "answered"] == LEAST_FRAMES
    assert told["adaspring_evolutions_total", "start"] == 1
    assert told["adaspring_context_battery_percent",] == 90.0
    assert told["adaspring_frame_latency_seconds", "0.95", "measured"] > 0
    assert told["adaspring_accuracy_percent",] == running.loop.status().predicted.accuracy_percent
    context = running.loop.status().context
    unknown = [name for name in context.__struct_fields__ if getattr(context, name) is None]
    assert set() == {f"adaspring_context_{name}" for name in unknown} & {name for name, *_ in told}
    exporter.close()
    assert not path.exists()


def test_http_endpoint_tells_the_same(run_loop: Run, free_port: int) -> None:
    """Where a port is configured, a scrape gets the newest status; without one nothing listens."""
    exporter = MetricsExporter(MetricsConfig(http_port=free_port))
    asked(run_loop, exporter)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/metrics", timeout=10) as reply:
            told = samples(reply.read().decode())
    finally:
        exporter.close()
    assert told["adaspring_requests_total", "answered"] == LEAST_FRAMES


def test_folder_that_is_not_there_is_told_once(run_loop: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that cannot be written is one line in the log; serving goes on."""
    now_s = 0.0
    exporter = MetricsExporter(MetricsConfig(textfile=str(tmp_path / "none" / "m.prom")), clock=lambda: now_s)
    running = asked(run_loop, exporter)
    now_s += 60.0
    exporter.observe(running.loop)
    exporter.close()
    assert len([line for line in caplog.messages if "serving goes on" in line]) == 1


def test_port_that_is_taken_is_named(free_port: int) -> None:
    """The message names key and reason."""
    exporter = MetricsExporter(MetricsConfig(http_port=free_port))
    with pytest.raises(ConfigError, match=f"port {free_port}"):
        MetricsExporter(MetricsConfig(http_port=free_port))
    exporter.close()


def test_dashboard_and_alerts_use_metrics_that_exist(run_loop: Run, tmp_path: Path, clone: Path) -> None:
    """Every metric that a panel or a rule names is exported; promtool agrees where it is installed."""
    path = tmp_path / "metrics.prom"
    exporter = MetricsExporter(MetricsConfig(textfile=str(path)))
    asked(run_loop, exporter)
    exported = {name for name, *_ in samples(path.read_text())}
    exporter.close()
    dashboard = json.loads((clone / "deploy" / "grafana" / "adaspring.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = clone / "deploy" / "prometheus" / "adaspring.rules.yml"
    expressions += re.findall(r"expr: (.+)", rules.read_text())
    named = {name for expression in expressions for name in re.findall(r"\badaspring_\w+", expression)}
    assert len(expressions) >= 15
    assert set() == named - exported
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "rules", str(rules)], check=True)  # noqa: S607 - Debian's
