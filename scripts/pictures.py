"""Draw the pictures of the documentation: the demonstration and ``adaspringctl top``, late in a day of one minute.

``demo.svg`` and ``top.svg`` below ``--output``, from a real daemon with the bundle that ships.
"""

from __future__ import annotations

import argparse
import io
import re
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console, RenderableType
from rich.terminal_theme import SVG_EXPORT_THEME

from adaspring.cli.demo.command import begin_day
from adaspring.cli.demo.view import screen as demo_screen
from adaspring.cli.top.feed import Feed
from adaspring.cli.top.view import LEAST_COLUMNS, LEAST_LINES
from adaspring.cli.top.view import screen as top_screen

#: Real time of the day, in seconds, and the share of it after which the pictures are taken.
SECONDS, SHARE = 60.0, 0.93
#: Between two looks, in seconds.
TURN_S = 0.25


def picture(path: Path, title: str, screen: RenderableType, columns: int, lines: int) -> None:
    """Write a screen as SVG."""
    console = Console(
        width=columns, height=lines, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(screen, height=lines)
    svg = console.export_svg(title=title, theme=SVG_EXPORT_THEME, unique_id=path.stem)
    # A reader's own font, not one that is fetched from somewhere.
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), encoding="utf-8")
    print(path)


def main() -> None:
    """Draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        daemon, app, watcher = begin_day(stack, Console(), SECONDS)
        run = f"ipc://{daemon.folder}/run"
        feed = stack.enter_context(Feed(f"{run}/control.sock", f"{run}/events.sock"))
        stack.enter_context(app.streaming())
        while (moment := watcher.look()).progress < SHARE:
            feed.listen()
            feed.look()
            time.sleep(TURN_S)
        picture(output / "demo.svg", "make run", demo_screen(moment, 112), 112, 26)
        picture(output / "top.svg", "adaspringctl top", top_screen(feed, LEAST_COLUMNS), LEAST_COLUMNS, LEAST_LINES)


if __name__ == "__main__":
    main()
