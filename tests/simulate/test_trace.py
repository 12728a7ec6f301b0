from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from adaspring.errors import DataError
from adaspring.simulate import load_scenario
from adaspring.simulate.recorded import load_recorded
from adaspring.simulate.trace import load_trace, scenario_of

CSV = """time_s,battery_percent,event_rate_hz,mood
0,90,5,good
60,89,5,good
50,88,5,worse
120,x,40,good
,87,1,good
180,87,40,good
4000,70,2,good
4060,69,2,good
"""


def written(folder: Path, text: str, name: str = "trace.csv") -> Path:
    """A trace file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_wrong_with_a_trace_is_told_by_line(tmp_path: Path) -> None:
    """Unknown columns, backward time, cells that are no numbers, missing times and gaps; the rest is kept."""
    trace = load_trace(written(tmp_path, CSV))
    assert [0.0, 60.0, 120.0, 180.0, 4000.0, 4060.0] == trace.time_s.tolist()
    assert ((180.0, 4000.0),) == trace.gaps
    told = "\n".join(trace.findings)
    assert "line 1: unknown columns mood are left out" in told
    assert "line 4: time goes from 60 s to 50 s; the row is left out" in told
    assert "line 5: battery_percent 'x' is no number; it counts as unknown" in told
    assert "line 6: there is no time; the row is left out" in told
    assert "line 8: a gap of 64 min; no frames are counted in it" in told


def test_readings_that_cannot_be_are_told_and_unknown(tmp_path: Path) -> None:
    """A rate below nothing, a charge above full, what is infinite and cells without a column are not replayed."""
    text = "time_s,battery_percent,event_rate_hz\n0,90,-3\n60,140,5\n120,inf,5,7\n180,nan,5\n240,80,5\n"
    trace = load_trace(written(tmp_path, text))
    assert trace.findings == (
        "line 2: event_rate_hz cannot be -3; it counts as unknown",
        "line 3: battery_percent cannot be 140; it counts as unknown",
        "line 4: battery_percent 'inf' is no number; it counts as unknown",
        "line 4: there are more cells than columns; those behind are left out",
        "line 5: battery_percent 'nan' is no number; it counts as unknown",
    )
    assert [False, True, True, True, False] == np.isnan(trace.columns["battery_percent"]).tolist()
    assert [True, False, False, False, False] == np.isnan(trace.columns["event_rate_hz"]).tolist()
    scenario, _ = scenario_of(trace, load_scenario("wearable-day"))
    assert all(activity.events_hz >= 0 for activity in scenario.activity)


def test_a_trace_becomes_a_day(tmp_path: Path) -> None:
    """Rates, charge and drain follow the trace, no frames are counted in gaps, and what stands in is told."""
    base = load_scenario("wearable-day")
    scenario, findings = scenario_of(load_trace(written(tmp_path, CSV)), base)
    assert scenario.span.from_h == 0.0
    assert scenario.span.to_h == pytest.approx(4060 / 3600)
    assert scenario.battery.start_percent == 90
    assert scenario.battery.idle_percent_per_h > 10
    assert [5.0, 40.0, 0.0, 2.0] == [activity.events_hz for activity in scenario.activity]
    assert scenario.activity[2].name == "gap"
    assert any("does not tell temperature_c" in finding for finding in findings)


def test_a_recording_of_the_daemon_is_a_trace(tmp_path: Path) -> None:
    """Contexts of a recording are rows; lines that are none are told and left out."""
    lines = []
    for second in range(0, 90, 10):
        context = {"at_s": second, "battery_percent": 50, "external_power": second > 30, "event_rate_hz": 3}
        lines.append(json.dumps({"topic": "context", "data": context}))
    text = "\n".join(["{", '{"topic": "evolution", "data": {}}', *lines]) + "\n"
    trace = load_trace(written(tmp_path, text, "trace.jsonl"))
    assert 9 == len(trace.time_s)
    assert trace.findings[0].startswith("line 1: this is no event of a recording")
    scenario, _ = scenario_of(trace, load_scenario("wearable-day"))
    [plugged] = scenario.battery.plugged
    assert plugged.from_h == pytest.approx(40 / 3600)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "time_s\n1\n", "time_s\n5\n4\n"])
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str) -> None:
    """Without two rows that have a time nothing can be replayed, and the message says so."""
    with pytest.raises(DataError, match=r"time_s|two rows"):
        load_trace(written(tmp_path, text))
    with pytest.raises(DataError, match="no such trace"):
        load_trace(tmp_path / "absent.csv")


def test_public_traces_are_put_together(tmp_path: Path) -> None:
    """The longest run of the phone, the busiest day of the home, and the processor beside them."""
    path = tmp_path / "traces.npz"
    start = 20 * 86_400
    phone = np.concatenate([np.arange(0, 600, 60), 10_000 + np.arange(0, 3600, 60)])
    np.savez(
        path,
        phone_time=start + phone,
        phone_percent=np.linspace(90, 20, len(phone)),
        pi_cpu_temp_c=np.array([50.0, 55.0]),
        homeb_start=start + 8 * 3600 + np.array([90, 100, 110, 1800]),
    )
    trace = load_recorded(path)
    assert 60 == len(trace.time_s)
    assert trace.columns["event_rate_hz"][1] == pytest.approx(31.0)
    assert [50.0, 55.0] == trace.columns["temperature_c"][:2].tolist()
    with pytest.raises(DataError, match="homea_start"):
        load_recorded(path, "a")
    with pytest.raises(DataError, match="no file of traces"):
        load_recorded(written(tmp_path, "nothing", "broken.npz"))
