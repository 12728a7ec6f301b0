"""``adaspring profile``: measure a bundle on this device and write its tables."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from adaspring.app.config import Config, state_folder
from adaspring.app.learning import learned_path, load_learned
from adaspring.app.locate import bundle_folder, find_board
from adaspring.bundle import load_bundle
from adaspring.engine import EngineChoice, make_engine
from adaspring.errors import ConfigError, ProfileError
from adaspring.profile import (
    Plan,
    correct_tables,
    corrected_path,
    load_tables,
    measuring,
    profile_bundle,
    save_tables,
    tables_path,
    with_atlas,
)
from adaspring.tables import DeviceTables


def add_profile(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommands."""
    parser = subcommands.add_parser("profile", help="measure a bundle on this device and write its lookup tables")
    _add_job(parser)
    parser.add_argument(
        "--subnets", type=_at_least(1), default=Plan().subnets, help="subnets to time (default: %(default)s)"
    )
    parser.add_argument("--limit", type=float, metavar="S", help="stop after S seconds with what there is")
    parser.add_argument("--seed", type=_at_least(0), default=0, help="seed of the sample (default: 0)")
    parser.add_argument("--if-missing", action="store_true", help="do nothing where measured tables are there already")
    parser.set_defaults(command=_profile)

    atlas = subcommands.add_parser(
        "atlas", help="correct stored tables by what the daemon measured, and build their atlas anew"
    )
    _add_job(atlas)
    atlas.set_defaults(command=_atlas)


def _add_job(parser: argparse.ArgumentParser) -> None:
    """Which tables, and how quietly."""
    parser.add_argument(
        "--bundle", default="har", help="folder of a bundle, or the name of one that ships (default: har)"
    )
    parser.add_argument("--state", type=Path, help="state folder of the daemon (default: the one that it uses)")
    parser.add_argument("--device", default="auto", help="name or path of a device profile (default: detect)")
    parser.add_argument("--engine", choices=["auto", "onnxruntime", "torch"], default="auto")
    parser.add_argument("--threads", type=_at_least(1), default=1, help="threads of one frame (default: 1)")
    parser.add_argument("--background", action="store_true", help="run at the lowest priority, without a progress bar")


def profile_if_missing(bundle: str, state: Path, device: str, *, limit_s: float, console: Console) -> None:
    """Profile unless measured tables are there; the demonstration begins with it.

    Args:
        bundle: Folder or name of a bundle.
        state: State folder.
        device: Name of a device profile.
        limit_s: Stop after so many seconds with what there is.
        console: Where progress is shown.
    """
    job = _Job(bundle, state, device, "auto", 1)
    if job.target.exists():
        console.print(f"[green]✓[/] measured tables of this device are there: {job.target.name}")
        return
    job.run(Plan(limit_s=limit_s), console)


def _profile(options: argparse.Namespace) -> int:
    state = options.state or state_folder(Config())
    job = _Job(options.bundle, state, options.device, options.engine, options.threads)
    if options.if_missing and job.target.exists():
        print(msgspec.json.encode({"tables": str(job.target)}).decode())
        return 0
    if options.background:
        os.nice(19)
    plan = Plan(subnets=options.subnets, limit_s=options.limit, seed=options.seed)
    tables = job.run(plan, Console(stderr=True, quiet=options.background))
    print(msgspec.json.encode({"tables": str(job.target), **msgspec.to_builtins(tables.facts)}).decode())
    return 0


def _atlas(options: argparse.Namespace) -> int:
    state = options.state or state_folder(Config())
    if options.background:
        os.nice(19)
    job = _Job(options.bundle, state, options.device, options.engine, options.threads)
    tables = job.rebuild()
    figures = {"atlas_members": len(tables.atlas or ()), "corrected": tables.facts.corrected}
    print(msgspec.json.encode({"tables": str(job.target), **figures}).decode())
    return 0


def _at_least(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}; it is {text!r}")
        return int(text)

    return whole


class _Job:
    """A bundle, a board and an engine, and where their tables belong."""

    def __init__(self, bundle: str, state: Path, device: str, engine: EngineChoice, threads: int) -> None:
        self._bundle = load_bundle(bundle_folder(bundle))
        self._board = find_board(device, Path("/"))
        self._engine = make_engine(engine, self._bundle, threads=threads, preferred=self._board.engine)
        self.target = tables_path(state, self._bundle.digest, self._board.name, self._engine.name)

    def rebuild(self) -> DeviceTables:
        """Correct the stored tables and build their atlas.

        Raises:
            ProfileError: If no tables were measured here.
            TableError: If they are damaged.
        """
        try:
            tables = load_tables(self.target, self._bundle.space)
        except FileNotFoundError:
            raise ProfileError(
                f"there are no tables {self.target}: measure them first, with adaspring profile"
            ) from None
        evidence = load_learned(learned_path(self.target), tables.facts.created).evidence
        corrected = correct_tables(self._bundle, self._board, tables, evidence)
        if corrected is not None:
            save_tables(corrected_path(self.target), corrected)
            return corrected
        corrected_path(self.target).unlink(missing_ok=True)
        if tables.atlas is None:
            tables = with_atlas(self._bundle, tables)
            save_tables(self.target, tables)
        return tables

    def run(self, plan: Plan, console: Console) -> DeviceTables:
        """Measure, save and show.

        Raises:
            ConfigError: If there is no place for the tables; told before the work, not after it.
        """
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make {self.target.parent} for tables: {error.strerror}; give --state") from error
        columns = (
            TextColumn("timing subnets"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with measuring(), Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("profile", total=None)
            tables = profile_bundle(
                self._bundle,
                self._engine,
                self._board,
                plan,
                partial=self.target.with_suffix(".partial.npz"),
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        save_tables(self.target, tables)
        console.print(_summary(tables))
        return tables


def _summary(tables: DeviceTables) -> Table:
    facts = tables.facts
    table = Table(title=f"{facts.subnets} subnets timed on {facts.device} with {facts.engine}", show_header=False)
    rows = {
        "table against unseen subnets": f"{facts.fit_mape_percent:.1f} % off, Kendall tau {facts.fit_kendall_tau:.3f}",
        "the same subnet timed again": (
            f"{facts.repeat_mape_percent:.1f} % off, Kendall tau {facts.repeat_kendall_tau:.3f}"
        ),
        "95th percentile over the 20th": f"{facts.tail_ratio:.2f}",
        "memory of a prepared subnet": f"{facts.session_mib:.2f} MiB beside its parameters",
        "energy": facts.energy,
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table
