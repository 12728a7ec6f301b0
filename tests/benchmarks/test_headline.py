import json
from pathlib import Path

from benchmarks.headline import stored


def test_stored_reports_are_told_task_by_task(tmp_path: Path) -> None:
    """What a report holds of its headline, with what it says is missing; other files are left alone."""
    headline = {"latency_ratio_best": 2.0, "pairs": [], "unmatched": ["Fire (SqueezeNet style)"]}
    for task, missing in (("har", []), ("fsdd", ["SVD factorisation"])):
        report = {"task": task, "headline": headline, "missing": missing, "rows": []}
        (tmp_path / f"{task}.json").write_text(json.dumps(report), encoding="utf-8")
    (tmp_path / "har.html").write_text("<html>", encoding="utf-8")
    told = stored(tmp_path)
    assert {"fsdd", "har"} == told.keys()
    assert {**headline, "missing": ["SVD factorisation"]} == told["fsdd"]
