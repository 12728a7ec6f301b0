"""``adaspring doctor``: what this device is, what it can sense, what is missing and how to get it."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adaspring.app.doctor import Check, Examination, Sense, examine


def add_doctor(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subcommands.add_parser("doctor", help="tell what this device can sense, what is missing, how to get it")
    parser.add_argument("--device", default="auto", help="name or path of a device profile (default: detect)")
    parser.add_argument("--sysroot", type=Path, default=Path("/"), metavar="DIR", help="look below DIR instead of /")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(command=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    examination = examine(options.sysroot, profile=options.device)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(examination)).decode())
    else:
        _show(examination, Console())
    return 0


def _show(examination: Examination, console: Console) -> None:
    console.print(Text(f"{examination.board} (device profile {examination.profile})", "bold"))
    told = examination.model or "no name in the device tree or DMI"
    console.print(Text(f"{told}; kernel {examination.kernel}, {examination.machine}\n"))
    listed = [sense for sense in examination.sensors if sense.expected or sense.value is not None]
    console.print(_table([_sense_row(sense) for sense in listed], "sensor"))
    others = ", ".join(sense.name for sense in examination.sensors if sense not in listed)
    console.print(Text(f"\nNot on this device, or not on boards like it: {others} (--json says why)", "bright_black"))
    console.print()
    console.print(_table([_check_row(check) for check in examination.checks], "system"))
    # One remedy may help several things.
    helped: dict[str, list[str]] = {}
    for name, remedy in examination.remedies:
        helped.setdefault(remedy, []).append(name)
    if helped:
        console.print(Text("\nWhat you can do", "bold"))
    for remedy, names in helped.items():
        console.print(Text(f"• {', '.join(names)}: {remedy}"))


def _table(rows: list[tuple[Text, str, str]], title: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column(title, no_wrap=True)
    table.add_column("found", overflow="fold")
    for mark, name, found in rows:
        table.add_row(mark, Text(name), Text(found))
    return table


def _sense_row(sense: Sense) -> tuple[Text, str, str]:
    if sense.value is None:
        return Text("✗", "red"), sense.name, sense.reason
    value = f"{sense.value:,.2f}".rstrip("0").rstrip(".")
    note = f"; {sense.note}" if sense.note else ""
    return Text("✓", "green"), sense.name, f"{value}  ({sense.source}{note})"


def _check_row(check: Check) -> tuple[Text, str, str]:
    return Text("✓", "green") if check.good else Text("✗", "red"), check.name, check.found
