from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaspring.context.model import Context
from adaspring.decide import Cause, Decision, Member, Planner, Together, choose_together, replay
from adaspring.space import Genome

MakePlanner = Callable[..., Planner]
CAUSE = Cause("operator", "a test asked")
#: A share that limits may be missed by: rounding.
CLOSE = 1e-6

CONTEXTS = st.fixed_dictionaries(
    {
        "battery_percent": st.floats(2.0, 100.0),
        "external_power": st.booleans(),
        "temperature_c": st.floats(30.0, 90.0),
        "memory_available_mib": st.floats(1.5, 12.0),
        "time_of_day_s": st.none() | st.floats(0.0, 86_399.0),
    }
)
RATES = st.lists(st.sampled_from([0.0, 5.0, 200.0, 2000.0]), min_size=2, max_size=3)


def device(rates_hz: list[float], **readings: Any) -> tuple[Context, list[Context]]:
    """What a device goes through, and what each model sees of it."""
    whole = Context(at_s=1.0, **readings)
    each = [msgspec.structs.replace(whole, event_rate_hz=rate_hz) for rate_hz in rates_hz]
    return msgspec.structs.replace(whole, event_rate_hz=sum(rates_hz)), each


def told(members: list[Member], whole: Context) -> tuple[list[Decision], Together]:
    """The decisions, and what they are together."""
    choices, together = choose_together(members, whole, clock=lambda: 0.0)
    return [
        member.planner.decision(choice, CAUSE, together)
        for member, choice in zip(members, choices, strict=True)
        if choice is not None
    ], together


def needs(decisions: list[Decision], rates_hz: list[float]) -> tuple[float, float, float]:
    """Memory in MiB, power in mW and busy share of what was decided."""
    predicted = [decision.predicted for decision in decisions]
    return (
        sum(each.memory_bytes for each in predicted) / 2**20,
        sum(max(rate, 0.1) * each.energy_mj for rate, each in zip(rates_hz, predicted, strict=True)),
        sum(rate * each.latency_p95_us * 1e-6 for rate, each in zip(rates_hz, predicted, strict=True)),
    )


@settings(deadline=None, max_examples=60)
@given(CONTEXTS, RATES, st.integers(0, 2**32 - 1), st.sampled_from(["cold", "warm"]))
def test_together_they_keep_to_what_there_is(
    make_planner: MakePlanner, readings: dict[str, Any], rates_hz: list[float], seed: int, start: str
) -> None:
    """Memory, power and time are kept or said to have given way, and the bound holds; every decision repeats."""
    planners = [make_planner(latency_p95_ms=5.0 + index, max_accuracy_loss_points=4.0) for index in range(3)]
    whole, contexts = device(rates_hz, **readings)
    rng = np.random.default_rng(seed)
    members = []
    for index, context in enumerate(contexts):
        planner = planners[index]
        running: Genome | None = planner.space.random(rng, 1)[0] if start == "warm" else None
        members.append(Member(f"m{index}", 3 * index + 1, planner, context, running))
    decisions, together = told(members, whole)
    assert together == told(members, whole)[1]
    assert together.proven
    memory_mib, power_mw, busy = needs(decisions, rates_hz)
    slack = 1 + (0.1 + CLOSE if start == "warm" else CLOSE)
    gave_way = {relaxed.quantity for decision in decisions for relaxed in decision.relaxed}
    alone = [planner.budgets(whole, planner.corrections()) for planner, _ in zip(planners, contexts, strict=False)]
    assert alone[0].memory_mib is not None
    assert "memory" in gave_way or memory_mib <= alone[0].memory_mib * slack
    caps_mj = [budgets.energy_mj for budgets in alone]
    if None not in caps_mj:
        most_mw = sum(max(rate, 0.1) * (cap or 0.0) for rate, cap in zip(rates_hz, caps_mj, strict=True))
        assert "energy" in gave_way or power_mw <= most_mw * slack + CLOSE
    assert "latency" in gave_way or busy <= 0.6 * slack
    assert together.bound <= together.objective + CLOSE
    assert together.subnets == tuple(decision.text for decision in decisions)
    for member, decision in zip(members, decisions, strict=True):
        again = replay(msgspec.json.decode(msgspec.json.encode(decision), type=Decision), member.planner)
        assert msgspec.structs.replace(again, search_us=decision.search_us) == decision


def test_where_there_is_enough_each_gets_its_best(make_planner: MakePlanner) -> None:
    """Nobody gives way, and each is decided for as if it were alone."""
    planner = make_planner()
    whole, contexts = device([5.0, 5.0], external_power=True, temperature_c=40.0, memory_available_mib=4000.0)
    members = [Member(name, 5, planner, context, None) for name, context in zip("ab", contexts, strict=True)]
    decisions, together = told(members, whole)
    alone = planner.decide(contexts[0], None, CAUSE)
    assert not together.contended
    assert {alone.genome} == {decision.genome for decision in decisions}
    assert together.objective == pytest.approx(2 * alone.objective)
    assert "shared by all models" in decisions[0].budgets.reasons["memory"]


def scarce(
    planner: Planner, greatest: Genome | None = None, share: float = 0.3
) -> tuple[Context, list[Context], float]:
    """Contexts whose memory is enough for one model at its best and one a good deal smaller, and what the best takes.

    Args:
        planner: Of both models.
        greatest: Stands in for the best.
        share: Of the way from the smallest to the best that there is memory for beside the best.
    """
    whole, contexts = device([5.0, 5.0], external_power=True, temperature_c=40.0, memory_available_mib=4000.0)
    least = msgspec.structs.replace(contexts[0], memory_available_mib=0.1)
    sizes_mib = [
        planner.decide(context, None, CAUSE).predicted.memory_bytes / 2**20 for context in (contexts[0], least)
    ]
    if greatest is not None:
        sizes_mib[0] = planner.predict(greatest).memory_bytes / 2**20
    memory_mib = 4 * (sum(sizes_mib) + share * (sizes_mib[0] - sizes_mib[1]))
    short = [msgspec.structs.replace(context, memory_available_mib=memory_mib) for context in (whole, *contexts)]
    return short[0], short[1:], sizes_mib[0]


@pytest.mark.parametrize("first", [0, 1])
def test_the_lower_priority_gives_way(make_planner: MakePlanner, first: int) -> None:
    """With memory for one at its best, the higher priority keeps it, whichever model has that."""
    planner = make_planner(max_accuracy_loss_points=100.0)
    whole, contexts, best_mib = scarce(planner)
    names = ["har", "sound"] if first == 0 else ["sound", "har"]
    members = [
        Member(name, priority, planner, context, None)
        for name, priority, context in zip(names, (1, 9), contexts, strict=True)
    ]
    decisions, together = told(members, whole)
    assert together.contended
    sizes = [decision.predicted.memory_bytes / 2**20 for decision in decisions]
    assert sizes[0] == pytest.approx(best_mib, rel=0.02)
    assert sizes[1] < sizes[0]
    assert names[0] in decisions[1].budgets.reasons["memory"]


def test_the_floor_of_the_lower_priority_gives_way_first(make_planner: MakePlanner) -> None:
    """Where not both floors of accuracy can be kept, that of the lower priority is the one that is broken."""
    planner = make_planner(max_accuracy_loss_points=0.0)
    whole, contexts, _ = scarce(planner)
    members = [
        Member(name, priority, planner, context, None)
        for name, priority, context in zip(("har", "sound"), (1, 9), contexts, strict=True)
    ]
    decisions, together = told(members, whole)
    assert [relaxed.sentence.partition(" relaxed")[0] for relaxed in together.relaxed] == ["accuracy of sound"]
    assert decisions[0].predicted.accuracy_percent == pytest.approx(planner.reference.accuracy_percent)
    assert decisions[1].predicted.accuracy_percent < decisions[0].predicted.accuracy_percent
    assert not decisions[0].feasible


@pytest.mark.parametrize(("loss_points", "gives_way"), [(0.0, {"accuracy"}), (0.5, {"accuracy"}), (100.0, set())])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_the_bound_of_too_little_memory_holds_for_every_pair_of_subnets(
    make_planner: MakePlanner, loss_points: float, gives_way: set[str], share: float
) -> None:
    """Of all pairs of subnets within the limits as relaxed, on a front or not, none scores less than the bound.

    And it is no weaker than that none scores less than the best of either with all memory its own.
    """
    planner = make_planner(max_accuracy_loss_points=loss_points)
    whole, contexts, _ = scarce(planner, share=share)
    members = [
        Member(name, priority, planner, context, None)
        for name, priority, context in zip(("har", "sound"), (3, 5), contexts, strict=True)
    ]
    decisions, together = told(members, whole)
    assert together.contended
    assert {relaxed.quantity for relaxed in together.relaxed} == gives_way
    every = np.array(list(product(*map(range, planner.space.choice_counts), range(2))), dtype=np.int16)
    allowed = []
    for member, decision in zip(members, decisions, strict=True):
        front = planner.weighed(every, decision.budgets, planner.corrections(), member.context, None)
        # A floor that gave way did so by the least that it had to.
        floor_percent = min(decision.budgets.accuracy_percent, decision.predicted.accuracy_percent)
        most_points = planner.reference.accuracy_percent - floor_percent
        allowed.append((member.weight, front.take(np.flatnonzero(front.loss_points <= most_points + CLOSE))))
    (first_weight, first), (second_weight, second) = allowed
    # The best partner that fits beside each subnet of the first model.
    order = second.memory_mib.argsort()
    least = np.minimum.accumulate(second.objective[order])
    most_mib = (whole.memory_available_mib or 0.0) / 4 * (1 + CLOSE)
    room = np.searchsorted(second.memory_mib[order], most_mib - first.memory_mib, "right")
    pairs = first_weight * first.objective[room > 0] + second_weight * least[room[room > 0] - 1]
    assert together.bound <= pairs.min() + CLOSE
    assert together.bound >= first_weight * first.objective.min() + second_weight * second.objective.min() - CLOSE
    assert pairs.min() <= together.objective + CLOSE


def test_a_pinned_model_keeps_its_subnet_and_the_others_share_the_rest(make_planner: MakePlanner) -> None:
    """Nothing is decided for it, and what it takes is not there for the others."""
    planner = make_planner(max_accuracy_loss_points=100.0)
    full = planner.space.full()
    whole, contexts, _ = scarce(planner, full)
    members = [
        Member("har", 1, planner, contexts[0], None),
        Member("sound", 9, planner, contexts[1], full, pinned=True),
    ]
    choices, together = choose_together(members, whole, clock=lambda: 0.0)
    assert choices[1] is None
    assert together.subnets[1] == planner.space.format(full)
    first = choices[0]
    assert first is not None
    used_mib = sum(planner.predict(genome).memory_bytes for genome in (first.genome, full)) / 2**20
    assert used_mib <= (whole.memory_available_mib or 0.0) / 4 * (1 + CLOSE)


def test_what_comes_for_one_model_makes_the_other_quicker(make_planner: MakePlanner) -> None:
    """The engine's time is shared: the more frames come for one, the less compute is left for a frame of the other."""
    planner = make_planner(latency_p95_ms=0.046, max_accuracy_loss_points=100.0)
    computes_us = []
    for rate_hz in (0.0, 8000.0):
        whole, contexts = device([500.0, rate_hz], external_power=True, temperature_c=40.0)
        members = [Member(name, 5, planner, context, None) for name, context in zip("ab", contexts, strict=True)]
        computes_us.append(told(members, whole)[0][0].predicted.latency_p95_us)
    assert computes_us[1] < computes_us[0]
