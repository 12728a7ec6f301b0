"""One decision for several models: each gets its best where there is enough for all, else its part of what there is.

What the device allows belongs to all models together: memory, power, and the time of the engine. Each
model is first searched for as if all of it were its own. Where these choices fit together, none of them can be
bettered. Otherwise the fronts are merged (`joint`), and each model is searched for once more within what the
best combination and the other models leave it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, isfinite
from time import monotonic

import msgspec
import numpy as np

from adaspring.context.model import Context
from adaspring.decide.budgets import Budgets, asked_in_the_mean_s, planned_rate_hz
from adaspring.decide.decision import Together
from adaspring.decide.demands import LIMITED, Front, Limits, Load, yielding_order
from adaspring.decide.formulation import Prices
from adaspring.decide.joint import Combination, Market
from adaspring.decide.member import Member, relaxed_limit
from adaspring.decide.planner import Choice
from adaspring.decide.policy import thermal_state
from adaspring.decide.trigger import LEAST_EVENT_RATE_HZ
from adaspring.space import Genome


def choose_together(
    members: Sequence[Member], device: Context, *, seed: int = 0, clock: Callable[[], float] = monotonic
) -> tuple[list[Choice | None], Together]:
    """Choose a subnet for each of several models.

    Args:
        members: The models, the highest priority first. Their policies differ in what is asked of a model alone:
            latency and accuracy.
        device: What the device is going through, with the frames of all models.
        seed: Seed of every search.
        clock: Monotonic, in seconds; deadlines of searches are read on it.

    Returns:
        The choice for each, None for one that is pinned; and what they are together.
    """
    return _Sharing(members, device, seed, clock).settled()


class _Sharing:
    """One decision under way."""

    def __init__(self, members: Sequence[Member], device: Context, seed: int, clock: Callable[[], float]) -> None:
        self._members = members
        self._seed = seed
        self._clock = clock
        self._corrections = [member.planner.corrected(member.context, member.incumbent) for member in members]
        self._own = [
            member.planner.budgets(member.context, corrections)
            for member, corrections in zip(members, self._corrections, strict=True)
        ]
        rates_hz = [planned_rate_hz(member.planner.policy, member.context)[0] or 0.0 for member in members]
        self._load = Load(
            rates_hz=np.array(rates_hz),
            energy_rates_hz=np.array(
                [max(member.context.event_rate_hz or 0.0, LEAST_EVENT_RATE_HZ) for member in members]
            ),
            waiting=np.array([member.context.queue_depth or 0.0 for member in members]),
        )
        self._limits = self._with_slack(self._wanted(device))
        #: The best for each model, were all that there is its own; None for one that is pinned.
        self._alone = [
            None if member.pinned else self._choose(index, self._part(index, self._limits, None))
            for index, member in enumerate(members)
        ]

    def settled(self) -> tuple[list[Choice | None], Together]:
        """What each gets."""
        alone = self._alone
        known = [self._known(index, choice) for index, choice in enumerate(alone)]
        fronts = [self._weighed(index, genomes) for index, genomes in enumerate(known)]
        # The first of the known is what the model would take.
        first = [np.zeros(1, dtype=np.intp)] * len(alone)
        fits = Market(fronts, self._load).fits(first, self._limits)[0]
        if fits and not any(choice.found.relaxed for choice in alone if choice):
            return alone, self._together(alone, None, self._bound_alone())
        lean = self._beside_the_leanest(fronts)
        for index, choice in enumerate(lean):
            if choice is not None:
                known[index] = np.concatenate([known[index], choice.genome[None]])
                fronts[index] = self._weighed(index, known[index])
        yielding = yielding_order(self._members[0].planner.policy.relaxation_order, len(fronts))
        best = Market(fronts, self._load).best(self._limits, yielding)
        choices, used = list(alone), [front.take(np.array([row])) for front, row in zip(fronts, best.rows, strict=True)]
        for index, row in enumerate(best.rows):
            if choices[index] is None or row == 0:
                continue
            if row == len(known[index]) - 1:
                choices[index] = lean[index]
                continue
            # Within what is left beside the others there may be something better than the front had.
            choices[index] = choice = self._choose(index, self._part(index, best.limits, used, used[index]))
            used[index] = self._weighed(index, choice.genome[None])
        return choices, self._together(choices, best, self._bound(best, used))

    def _bound(self, best: Combination, used: Sequence[Front]) -> float:
        """What no combination within limits (as relaxed) scores less than, on the fronts or not.

        Limits that are shared get the prices that prove the most on the fronts. At prices each model can be searched
        for by itself, all of its subnets at once, and what all together save on the limits is the limits' worth.
        """
        busy, power, memory = best.prices.tolist()
        limits = np.array([best.limits.utilisation, best.limits.power_mw, best.limits.memory_mib])
        bound = -float(best.prices[best.prices > 0] @ limits[best.prices > 0])
        for index, (member, mine) in enumerate(zip(self._members, used, strict=True)):
            if self._alone[index] is None:
                bound += float(best.prices @ self._load.columns(index, mine)[0, LIMITED])
                continue
            rate_hz, energy_rate_hz = float(self._load.rates_hz[index]), float(self._load.energy_rates_hz[index])
            weight = member.weight
            bound += weight * member.planner.priced_bound(
                member.context,
                member.incumbent,
                Prices(busy * rate_hz / weight, power * energy_rate_hz / weight, memory / weight),
                seed=self._seed,
                clock=self._clock,
                corrections=self._corrections[index],
                # All that there is, as if it were its own.
                allowed=self._part(index, best.limits, None, mine),
            )
        return bound if best.relaxed else max(bound, self._bound_alone())

    def _bound_alone(self) -> float:
        """The same where no limit gave way: nobody does better than with all that there is."""
        pairs = zip(self._alone, self._members, strict=True)
        return sum(member.weight * choice.found.bound for choice, member in pairs if choice is not None)

    def _beside_the_leanest(self, fronts: Sequence[Front]) -> list[Choice | None]:
        """What each model would take if the others took as little as their floors allow.

        A front was made for no budget in particular: what is nearest to a floor within this one may be missing in it.
        """
        limits = self._limits.vector()
        shared = np.where(limits[2 * len(fronts) :] > 0, limits[2 * len(fronts) :], np.finfo(float).tiny)
        leanest = []
        for index, front in enumerate(fronts):
            allowed = np.flatnonzero(front.loss_points <= self._limits.loss_points[index])
            rows = allowed if len(allowed) else np.arange(len(front))
            share = (self._load.columns(index, front)[rows][:, LIMITED] / shared).max(axis=1)
            leanest.append(front.take(rows[[int(share.argmin())]]))
        return [
            None if choice is None else self._choose(index, self._part(index, self._limits, leanest))
            for index, choice in enumerate(self._alone)
        ]

    def _choose(self, index: int, allowed: Budgets) -> Choice:
        member = self._members[index]
        return member.planner.choose(
            member.context,
            member.incumbent,
            seed=self._seed,
            clock=self._clock,
            corrections=self._corrections[index],
            allowed=allowed,
        )

    def _weighed(self, index: int, genomes: Genome) -> Front:
        member, corrections = self._members[index], self._corrections[index]
        front = member.planner.weighed(genomes, self._own[index], corrections, member.context, member.incumbent)
        return replace(front, objective=member.weight * front.objective)

    def _known(self, index: int, choice: Choice | None) -> Genome:
        """The subnets that a model may be given: what it would take, what runs, and its front."""
        member = self._members[index]
        running = member.running
        return running if choice is None else np.concatenate([choice.genome[None], running, member.planner.front])

    def _wanted(self, device: Context) -> Limits:
        """What all models together are held to."""
        losses, latencies, powers_mw = [], [], []
        for member, own, corrections, rate_hz in zip(
            self._members, self._own, self._corrections, self._load.energy_rates_hz.tolist(), strict=True
        ):
            losses.append(member.planner.reference.accuracy_percent - own.accuracy_percent)
            latencies.append(asked_in_the_mean_s(member.planner.policy, member.context, corrections.tail_ratio))
            # A mission shares what the battery holds among the frames of all models.
            cap_mj = member.planner.budgets(device, corrections).energy_mj
            powers_mw.append(inf if cap_mj is None else rate_hz * cap_mj)
        memory_mib = self._own[0].memory_mib
        return Limits(
            loss_points=np.array(losses),
            latency_s=np.array(latencies),
            utilisation=self._members[0].planner.policy.max_utilisation,
            power_mw=sum(powers_mw),
            memory_mib=inf if memory_mib is None else memory_mib,
        )

    def _with_slack(self, wanted: Limits) -> Limits:
        """Limits stretched to what runs, where that is within its slack: readings waver, see `search.Incumbent`."""
        policy, running = self._members[0].planner.policy, []
        for index, member in enumerate(self._members):
            if member.incumbent is None or thermal_state(policy, member.context) == "critical":
                return wanted
            running.append(self._weighed(index, member.running))
        used = Market(running, self._load).demands([np.zeros(1, dtype=np.intp)] * len(running))[0]
        limits = wanted.vector()
        slack = policy.trigger.latency_slack_percent / 100
        within = (limits < used) & (used <= limits * (1 + slack))
        # The floor of accuracy does not waver.
        within[: len(running)] = False
        return Limits.of_vector(np.where(within, used, limits))

    def _part(self, index: int, limits: Limits, used: Sequence[Front] | None, mine: Front | None = None) -> Budgets:
        """What is left for a model.

        Args:
            index: Which.
            limits: Of all models.
            used: What each uses; None where the model is to have everything.
            mine: What it uses itself within the limits: that is left for it, whatever rounding says.
        """
        own, full_percent = self._own[index], self._members[index].planner.reference.accuracy_percent
        rates_hz, memory_mib, power_mw = self._load.energy_rates_hz, limits.memory_mib, limits.power_mw
        rate_hz, computes_s = float(rates_hz[index]), np.full(len(self._members), np.nan)
        told = "shared by all models"
        if used is not None:
            others = [other for other in range(len(self._members)) if other != index]
            for other in others:
                computes_s[other] = used[other].latency_s[0]
                power_mw -= float(rates_hz[other] * used[other].energy_mj[0])
                memory_mib -= float(used[other].memory_mib[0])
            told = f"what {' and '.join(self._members[other].name for other in others)} leaves of it"
        latency_s = max(0.0, self._load.left_s(index, computes_s, limits))
        power_mw, memory_mib = max(0.0, power_mw), max(0.0, memory_mib)
        if mine is not None:
            power_mw = max(power_mw, rate_hz * float(mine.energy_mj[0]))
            memory_mib = max(memory_mib, float(mine.memory_mib[0]))
            latency_s = max(latency_s, float(mine.latency_s[0])) if isfinite(latency_s) else float(mine.latency_s[0])
        energy_mj = power_mw / rate_hz
        reasons = dict(own.reasons)
        reasons["latency"] = f"{latency_s * 1e3:.3g} ms: {_why(own.reasons['latency'])}; {told}"
        if isfinite(energy_mj):
            reasons["energy"] = f"{energy_mj:.3g} mJ: {limits.power_mw:.3g} mW for the inference of all models; {told}"
        if isfinite(memory_mib):
            reasons["memory"] = f"{memory_mib:.3g} MiB: {_why(own.reasons['memory'])}; {told}"
        return msgspec.structs.replace(
            own,
            accuracy_percent=full_percent - float(limits.loss_points[index]),
            latency_p95_us=latency_s * 1e6,
            energy_mj=energy_mj if isfinite(energy_mj) else None,
            memory_mib=memory_mib if isfinite(memory_mib) else None,
            reasons=reasons,
        )

    def _together(self, choices: Sequence[Choice | None], best: Combination | None, bound: float) -> Together:
        """What was decided and is proven; `best` is None where nobody had to give way."""
        members = self._members
        relaxed = (
            ()
            if best is None
            else tuple(relaxed_limit(members, self._limits, best.limits, place) for place in best.relaxed)
        )
        objective = 0.0
        subnets = []
        for member, choice in zip(members, choices, strict=True):
            genome = member.running[0] if choice is None else choice.genome
            subnets.append(member.planner.space.format(genome))
            objective += 0.0 if choice is None else member.weight * choice.found.objective
        return Together(
            models=tuple(member.name for member in members),
            subnets=tuple(subnets),
            contended=best is not None,
            objective=objective,
            bound=bound,
            proven=best is None or best.proven,
            relaxed=relaxed,
        )


def _why(reason: str) -> str:
    """The sentence of a budget without its figure."""
    return reason.partition(": ")[2]
