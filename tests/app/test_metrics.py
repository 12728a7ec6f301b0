from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec
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
    while sum(running.loop.views.status().totals.request_us.counts) < LEAST_FRAMES:
        pass
    exporter.observe(running.loop.views)
    return running


def test_text_file_tells_what_the_status_tells(run_loop: Run, tmp_path: Path) -> None:
    """Outcomes, latency, accuracy, context and causes are in the file; what is not known is not."""
    path = tmp_path / "metrics.prom"
    exporter = MetricsExporter(MetricsConfig(textfile=str(path)))
    running = asked(run_loop, exporter)
    told = samples(path.read_text())
    assert told["adaspring_requests_total", "answered", "toy"] == LEAST_FRAMES
    assert told["adaspring_evolutions_total", "start", "toy"] == 1
    assert told["adaspring_context_battery_percent", "toy"] == 90.0
    assert told["adaspring_frame_latency_seconds", "95", "measured", "toy"] > 0
    assert told["adaspring_accuracy_percent", "toy"] == running.loop.views.status().predicted.accuracy_percent
    for named in (
        *("adaspring_queue_depth", "adaspring_generation", "adaspring_frame_energy_joules", "adaspring_info"),
        *(
            "adaspring_optimality_gap_percent",
            "adaspring_budget_latency_p95_seconds",
            "adaspring_evolution_failures_total",
        ),
    ):
        assert any(name == named for name, *_ in told), named
    context = running.loop.views.status().context
    assert told["adaspring_context_memory_available_bytes", "toy"] == (context.memory_available_mib or 0.0) * 2**20
    quantities = {name: value for name, value in msgspec.structs.asdict(context).items() if name != "at_s"}
    known = [name for name, value in quantities.items() if isinstance(value, bool | int | float)]
    assert None in quantities.values()
    assert len(known) == sum(name.startswith("adaspring_context_") for name, *_ in told)
    exporter.close()
    assert not path.exists()


def test_latency_is_a_histogram(run_loop: Run, tmp_path: Path) -> None:
    """Requests and their compute are counted by how long they took: all of them, and compute is part of a request."""
    path = tmp_path / "metrics.prom"
    exporter = MetricsExporter(MetricsConfig(textfile=str(path)))
    asked(run_loop, exporter)
    told = samples(path.read_text())
    exporter.close()
    for name in ("adaspring_request_seconds", "adaspring_compute_seconds"):
        buckets = sorted(
            (float(labels[0]), value) for (each, *labels), value in told.items() if each == f"{name}_bucket"
        )
        counts = [count for _, count in buckets]
        assert counts == sorted(counts)
        assert LEAST_FRAMES == told[f"{name}_count", "toy"] == counts[-1]
        assert told[f"{name}_sum", "toy"] > 0
    assert told["adaspring_compute_seconds_sum", "toy"] < told["adaspring_request_seconds_sum", "toy"]
    assert 1 == told["adaspring_evolution_seconds_count", "toy"]


def test_http_endpoint_tells_the_same(run_loop: Run, free_port: int) -> None:
    """Where a port is configured, a scrape gets the newest status; without one nothing listens."""
    exporter = MetricsExporter(MetricsConfig(http_port=free_port))
    asked(run_loop, exporter)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/metrics", timeout=10) as reply:
            told = samples(reply.read().decode())
    finally:
        exporter.close()
    assert told["adaspring_requests_total", "answered", "toy"] == LEAST_FRAMES


def test_folder_that_is_not_there_is_told_once(run_loop: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that cannot be written is one line in the log; serving goes on."""
    now_s = 0.0
    exporter = MetricsExporter(MetricsConfig(textfile=str(tmp_path / "none" / "m.prom")), clock=lambda: now_s)
    running = asked(run_loop, exporter)
    now_s += 60.0
    exporter.observe(running.loop.views)
    exporter.close()
    assert len([line for line in caplog.messages if "serving goes on" in line]) == 1


def test_port_that_is_taken_is_named(free_port: int) -> None:
    """The message names key and reason."""
    exporter = MetricsExporter(MetricsConfig(http_port=free_port))
    with pytest.raises(ConfigError, match=f"port {free_port}"):
        MetricsExporter(MetricsConfig(http_port=free_port))
    exporter.close()


def of_dashboard(clone: Path) -> list[str]:
    """Expressions of the dashboard's panels."""
    dashboard = json.loads((clone / "deploy" / "grafana" / "adaspring.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_dashboard_and_alerts_use_metrics_that_exist(run_loop: Run, tmp_path: Path, clone: Path) -> None:
    """Every metric that a panel, a rule or the documentation names is exported."""
    path = tmp_path / "metrics.prom"
    exporter = MetricsExporter(MetricsConfig(textfile=str(path)))
    asked(run_loop, exporter)
    exported = {name for name, *_ in samples(path.read_text())}
    exporter.close()
    expressions = of_dashboard(clone)
    rules = clone / "deploy" / "prometheus" / "adaspring.rules.yml"
    expressions += re.findall(r"expr: (.+)", rules.read_text())
    named = {name for expression in expressions for name in re.findall(r"\badaspring_\w+", expression)}
    assert len(expressions) >= 15
    page = (clone / "docs" / "operations.md").read_text()
    table = page.partition("| what (all begin with `adaspring_`) | metric |")[2].partition("\n\n")[0]
    told = {f"adaspring_{name}" for name in re.findall(r"`(\w+)`", table)} - {
        "adaspring_source",
        "adaspring_percentile",
    }
    assert len(told) >= 10
    assert set() == (named | told) - exported - {name.removesuffix("_bucket") for name in exported}


@pytest.fixture(scope="module")
def promtool(clone: Path) -> str:
    """Prometheus' own tool."""
    found = subprocess.run(["/bin/sh", clone / "scripts" / "promtool.sh"], check=False, capture_output=True, text=True)
    if found.returncode:
        pytest.skip(found.stderr.strip())
    return found.stdout.strip()


def test_promtool_agrees(run_loop: Run, promtool: str, tmp_path: Path, clone: Path) -> None:
    """Prometheus' own tool finds nothing to say against the alert rules, the dashboard and what is exported."""
    path = tmp_path / "metrics.prom"
    exporter = MetricsExporter(MetricsConfig(textfile=str(path)))
    asked(run_loop, exporter)
    exposition = path.read_bytes()
    exporter.close()
    subprocess.run([promtool, "check", "rules", clone / "deploy" / "prometheus" / "adaspring.rules.yml"], check=True)
    subprocess.run([promtool, "check", "metrics"], input=exposition, check=True)
    recorded = [
        {"record": f"panel_{index}", "expr": expression} for index, expression in enumerate(of_dashboard(clone))
    ]
    # JSON is YAML.
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": recorded}]}))
    subprocess.run([promtool, "check", "rules", tmp_path / "panels.yml"], check=True)


def test_alerts_fire_when_they_should(promtool: str, tmp_path: Path, clone: Path) -> None:
    """Each on a device in trouble, none on one that is well."""
    played = (Path(__file__).parent / "alerts.yml").read_text()
    rules = clone / "deploy" / "prometheus" / "adaspring.rules.yml"
    assert set() == set(re.findall(r"alert: (\w+)", rules.read_text())) - set(re.findall(r"AdaSpring\w+", played))
    (tmp_path / "alerts.yml").write_text(played.replace("RULES", str(rules)))
    done = subprocess.run(
        [promtool, "test", "rules", "alerts.yml"], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
