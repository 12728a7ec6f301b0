"""``adaspringctl explain``: a decision told to a person."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from adaspring.app.evolution import Evolution
from adaspring.cli.render import context_table, evolution_line
from adaspring.decide import Decision, Prediction, Together


def explanation(evolution: Evolution) -> RenderableType:
    """Context, budgets, choice, proof, and the runners-up with why they lost."""
    decision = evolution.decision
    if decision is None:
        return Text("an operator pinned this subnet; nothing was decided", "yellow")
    parts: list[RenderableType] = [
        Text.assemble(("Because ", "bold"), f"{decision.cause.sentence}, at {evolution.at}"),
        evolution_line(evolution),
        _heading("Context"),
        context_table(decision.context),
        _heading("Budgets that follow"),
        _budgets(decision),
        _heading("Chosen, and what lost"),
        _candidates(decision),
        _proof(decision),
    ]
    if decision.together is not None:
        parts += [_heading("Together with the other models"), _together(decision.together)]
    return Group(*parts)


def _heading(text: str) -> Text:
    return Text(f"\n{text}", "bold")


def _budgets(decision: Decision) -> Table:
    table = Table.grid(padding=(0, 1))
    for name, sentence in decision.budgets.reasons.items():
        table.add_row(name, Text(sentence))
    for relaxed in decision.relaxed:
        table.add_row(Text("relaxed", "yellow"), Text(relaxed.sentence, "yellow"))
    return table


def _candidates(decision: Decision) -> Table:
    table = Table(box=None, padding=(0, 1), show_edge=False)
    for heading in ("subnet", "accuracy", "p95", "energy", "objective", ""):
        table.add_column(heading, justify="left" if heading in {"subnet", ""} else "right", overflow="fold")
    chosen = Text(decision.text, "bold cyan")
    table.add_row(chosen, *_figures(decision.predicted), f"{decision.objective:.4f}", Text("chosen", "bold green"))
    for other in decision.alternatives:
        reason = Text.assemble((f"{other.role}: ", "bright_black"), other.why_not)
        table.add_row(other.text, *_figures(other.predicted), f"{other.objective:.4f}", reason)
    return table


def _figures(predicted: Prediction) -> tuple[str, str, str]:
    return (
        f"{predicted.accuracy_percent:.1f} %",
        f"{predicted.latency_p95_us:,.0f} µs",
        f"{predicted.energy_mj:.3f} mJ",
    )


def _together(together: Together) -> Table:
    """What all models run, by priority, and how good that is."""
    table = Table.grid(padding=(0, 1))
    for name, subnet in zip(together.models, together.subnets, strict=True):
        table.add_row(name, Text(subnet, "cyan"))
    shared = "what each would take for itself was too much for all" if together.contended else "there is enough for all"
    bound = f", and no other choice within the budgets can score less than {together.bound:.4f}"
    proof = "no combination of the fronts scores less" if together.proven else "there were too many to look at all"
    table.add_row("score", f"{together.objective:.4f}: {shared}; {proof}{bound}")
    return table


def _proof(decision: Decision) -> Text:
    gap = f"at most {decision.gap_percent:.2f} %" if decision.gap_percent else "0 %: proven optimal"
    ended = "" if decision.in_time else "; its deadline ended the search"
    return Text(f"\nFrom the best there is: {gap}. Searched in {decision.search_us / 1e3:.2f} ms{ended}.")
