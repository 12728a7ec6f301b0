"""A progress bar with the time left, and lines above it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def steps(console: Console, title: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Show a bar for a loop.

    Yields:
        To be called after each step, with a line to print or without.
    """
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=total)

        def advance(line: str = "") -> None:
            progress.advance(task)
            if line:
                progress.console.print(line)

        yield advance
