"""A decision: what was chosen, why, and how good it is, complete enough to be made again."""

from __future__ import annotations

import msgspec

from adaspring.context.model import Context
from adaspring.decide.budgets import Budgets
from adaspring.decide.problem import Quantity
from adaspring.decide.trigger import Cause


class Prediction(msgspec.Struct, frozen=True):
    """What a subnet is expected to do.

    Attributes:
        accuracy_percent: Share of right answers.
        latency_us: Low percentile of compute at batch 1, as the tables hold it, uncorrected.
        latency_p95_us: 95th percentile under the condition of the decision.
        energy_mj: Energy of one frame.
        parameters: Weights and biases.
        memory_bytes: Parameters, peak activations and the session around them.
    """

    accuracy_percent: float
    latency_us: float
    latency_p95_us: float
    energy_mj: float
    parameters: int
    memory_bytes: int


class Alternative(msgspec.Struct, frozen=True):
    """A subnet that was not chosen.

    Attributes:
        genome: Its genome.
        text: Text form of the genome.
        role: What makes it worth telling, for example ``"running until now"``.
        predicted: What it is expected to do.
        objective: What it would have scored; less is better.
        why_not: Why it lost, one sentence.
    """

    genome: tuple[int, ...]
    text: str
    role: str
    predicted: Prediction
    objective: float
    why_not: str


class Relaxed(msgspec.Struct, frozen=True):
    """A budget that had to give.

    Attributes:
        quantity: Which.
        sentence: From what to what.
    """

    quantity: Quantity
    sentence: str


class Corrections(msgspec.Struct, frozen=True):
    """What served frames had told about the tables.

    Attributes:
        latency_factor: Measured over predicted latency.
        tail_ratio: 95th percentile of latency over the percentile of the table.
        energy_factor: Measured over predicted energy; one where no power sensor tells.
        incumbent_factor: Measured over predicted latency of the subnet that runs, where its own
            frames told; otherwise that of all.
    """

    latency_factor: float
    tail_ratio: float
    energy_factor: float
    incumbent_factor: float


class Together(msgspec.Struct, frozen=True):
    """What was decided for several models at once.

    Attributes:
        models: Their names, the highest priority first.
        subnets: The subnet of each, in text form.
        contended: Whether what each would take for itself was too much for all.
        objective: What all score, each times its weight; less is better.
        bound: No other choice for them within the budgets (as relaxed) scores less, whichever subnets it is of.
        proven: Whether no other combination of the fronts scores less; false only where there were too many.
        relaxed: Budgets that had to give, in the order in which they did.
    """

    models: tuple[str, ...]
    subnets: tuple[str, ...]
    contended: bool
    objective: float
    bound: float
    proven: bool
    relaxed: tuple[Relaxed, ...]


class Decision(msgspec.Struct, frozen=True):
    """A decision and all it followed from.

    Attributes:
        planner: Fingerprint of tables, policy and atlas; another planner decides differently.
        seed: Seed of the search.
        cause: Why it was made.
        context: The context behind it.
        corrections: Where the online corrections stood.
        incumbent: The genome that ran until then; None at the start.
        budgets: What the context allows.
        genome: The chosen subnet.
        text: Text form of the genome.
        predicted: What it is expected to do.
        objective: What it scored; less is better.
        bound: No subnet within the budgets (as relaxed) scores less.
        gap_percent: By how much the objective lies above the best there is at most, relative to it.
        feasible: Whether all budgets are met; the subnet that runs may exceed them by the slack of the policy.
        relaxed: Budgets that had to give, in the declared order.
        alternatives: Others that were looked at and lost.
        in_time: Whether the search ended by itself.
        ended_at_look: Where not, the look at its deadline that ended it (see `Deadline`), so
            that it can be repeated exactly on a machine of another speed.
        search_us: Time of the search, in microseconds.
        together: What was decided for other models with it; the budgets are then this model's part. None where
            there is one model.
    """

    planner: str
    seed: int
    cause: Cause
    context: Context
    corrections: Corrections
    incumbent: tuple[int, ...] | None
    budgets: Budgets
    genome: tuple[int, ...]
    text: str
    predicted: Prediction
    objective: float
    bound: float
    gap_percent: float
    feasible: bool
    relaxed: tuple[Relaxed, ...]
    alternatives: tuple[Alternative, ...]
    in_time: bool
    ended_at_look: int | None
    search_us: float
    together: Together | None = None
