"""``adaspring fleet report``: the decision logs of many devices as one page, and as JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from adaspring.cli.fleet.merge import merge
from adaspring.cli.fleet.page import fleet_page


def add_fleet(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    fleet = subcommands.add_parser("fleet", help="look at many devices together")
    commands = fleet.add_subparsers(title="commands", required=True, metavar="COMMAND")
    text = "merge the decisions that many devices have kept into one page: which boards run what, drift, violations"
    report = commands.add_parser("report", help=text, description=text)
    report.add_argument(
        "folder", type=Path, help="holds a folder for each device, with what its daemon keeps in decisions/MODEL"
    )
    report.add_argument("--out", type=Path, default=Path(), help="folder of fleet.html and fleet.json (default: here)")
    report.set_defaults(command=_report)


def _report(options: argparse.Namespace) -> int:
    fleet = merge(options.folder)
    options.out.mkdir(parents=True, exist_ok=True)
    page, data = options.out / "fleet.html", options.out / "fleet.json"
    page.write_text(fleet_page(fleet), encoding="utf-8")
    data.write_bytes(msgspec.json.encode(fleet))
    for finding in fleet.findings:
        print(finding, file=sys.stderr)
    totals = {
        "devices": len({each.device for each in fleet.served}),
        "decisions": sum(each.decisions for each in fleet.served),
        "violations": sum(each.violations for each in fleet.served),
        "late": sum(each.late for each in fleet.served),
    }
    print(f"wrote {page} and {data}", file=sys.stderr)
    print(msgspec.json.encode(totals).decode())
    return 0
