"""What subnets of several models need of a device together, and what it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt

import numpy as np

from adaspring.decide.problem import ROUNDING, Array, Indices, Quantity

#: What adds up over models, as columns: frames a second times seconds of compute; the part of it that a frame
#: finds under way; compute of frames that wait already; watts; MiB.
BUSY, RESIDUAL, BACKLOG, POWER, MEMORY = range(5)
#: Those of them that have a limit of their own.
LIMITED = (BUSY, POWER, MEMORY)
#: What each model has for itself; the other quantities are shared.
OWN: tuple[Quantity, ...] = ("accuracy", "latency")


@dataclass(frozen=True, slots=True)
class Front:
    """Subnets that a model may run, one in each row; all arrays have the shape ``(n,)``.

    Attributes:
        objective: What each scores, weighted by the priority of the model; less is better.
        loss_points: Accuracy lost against the full network.
        latency_s: 95th percentile of compute of a frame.
        energy_mj: Energy of a frame.
        memory_mib: Memory of the session.
    """

    objective: Array
    loss_points: Array
    latency_s: Array
    energy_mj: Array
    memory_mib: Array

    def __len__(self) -> int:
        """Subnets."""
        return len(self.objective)

    def take(self, rows: Indices) -> Front:
        """Some of them."""
        return Front(
            self.objective[rows],
            self.loss_points[rows],
            self.latency_s[rows],
            self.energy_mj[rows],
            self.memory_mib[rows],
        )


@dataclass(frozen=True, slots=True)
class Load:
    """What comes for each model, shape ``(models,)`` each.

    Attributes:
        rates_hz: Frames a second.
        energy_rates_hz: The same as power counts them.
        waiting: Frames that wait already.
    """

    rates_hz: Array
    energy_rates_hz: Array
    waiting: Array

    def columns(self, model: int, front: Front) -> Array:
        """What each subnet of a model adds to what adds up over models, shape ``(n, 5)``."""
        busy = self.rates_hz[model] * front.latency_s
        return np.stack(
            [
                busy,
                busy * front.latency_s / 2,
                self.waiting[model] * front.latency_s,
                self.energy_rates_hz[model] * front.energy_mj,
                front.memory_mib,
            ],
            axis=1,
        )

    def left_s(self, model: int, computes_s: Array, limits: Limits) -> float:
        """The most compute of a frame of one model that keeps everybody within limits, in seconds.

        Args:
            model: Which.
            computes_s: Compute of a frame of each other model, shape ``(models,)``; NaN where it does not count.
            limits: To keep to; how busy the engine may be, and the latency of each.
        """
        others = ~np.isnan(computes_s)
        others[model] = False
        rates_hz, waiting, computes = self.rates_hz[others], self.waiting[others], computes_s[others]
        idle = 1.0 - float(rates_hz @ computes)
        residual, backlog = float(rates_hz @ computes**2) / 2, float(waiting @ computes)
        rate_hz, own_waiting = float(self.rates_hz[model]), float(self.waiting[model])
        own_s = float(limits.latency_s[model])
        spare_s = float((limits.latency_s[others] - computes).min(initial=inf))
        most = [(limits.utilisation - 1.0 + idle) / rate_hz] if rate_hz > 0 else [inf]
        # Compute and wait of its own frames, then the wait of those of the others, solved for the compute.
        if isfinite(own_s):
            most.append(_root(idle + rate_hz * own_s, own_s * idle - residual, rate_hz))
            most.append((own_s - backlog) / (1 + own_waiting))
        if isfinite(spare_s):
            most.append(_root(rate_hz * spare_s, spare_s * idle - residual, -rate_hz))
            most += [(spare_s - backlog) / own_waiting] if own_waiting > 0 else []
        return min(most)


@dataclass(frozen=True, slots=True)
class Limits:
    """What combinations are held to; infinite where there is no limit.

    Attributes:
        loss_points: Most accuracy that each model may lose, shape ``(models,)``.
        latency_s: What compute of a frame of each model and its mean wait must meet together, shape ``(models,)``.
        utilisation: Most share of time that the engine may be busy.
        power_mw: Most power of all inference.
        memory_mib: Most memory of all sessions.
    """

    loss_points: Array
    latency_s: Array
    utilisation: float
    power_mw: float
    memory_mib: float

    def vector(self) -> Array:
        """All of them in the order of `combined_demands`, shape ``(2 models + 3,)``."""
        return np.concatenate([self.loss_points, self.latency_s, [self.utilisation, self.power_mw, self.memory_mib]])

    @classmethod
    def of_vector(cls, vector: Array) -> Limits:
        """Back from `vector`."""
        models = (len(vector) - 3) // 2
        utilisation, power_mw, memory_mib = vector[2 * models :].tolist()
        return cls(vector[:models], vector[models : 2 * models], utilisation, power_mw, memory_mib)


def yielding_order(relaxation: Sequence[Quantity], models: int) -> list[int]:
    """The order in which limits give way, as indices into `Limits.vector`.

    Of what each model has for itself, all of the lowest priority gives way before any of the next.

    Args:
        relaxation: All quantities; the first gives way first.
        models: How many there are, the highest priority first.
    """
    order: list[int] = []
    own: list[Quantity] = []

    def give_own() -> None:
        for model in reversed(range(models)):
            for quantity in own:
                # How busy the engine may be concerns everyone's latency: it stands with the last to give way.
                order.extend([2 * models] if quantity == "latency" and model == 0 else [])
                order.append(model + models * OWN.index(quantity))
        own.clear()

    for quantity in relaxation:
        if quantity in OWN:
            own.append(quantity)
            continue
        give_own()
        order.append(2 * models + (1 if quantity == "energy" else 2))
    give_own()
    return order


def rounded(limits: Array) -> Array:
    """Limits that rounding does not break."""
    return limits + ROUNDING * (1 + np.abs(np.where(np.isfinite(limits), limits, 0.0)))


def combined_demands(used: Array, losses: Sequence[Array], computes: Sequence[Array]) -> Array:
    """What combinations need, in the order of `Limits.vector`, shape ``(n, 2 models + 3)``.

    A frame waits for the one under way and those before it: for frames that come at random the mean wait is
    the residual compute over the share of time that is left (Pollaczek and Khinchine). And those that wait already
    are computed first.
    """
    idle = 1.0 - used[:, BUSY]
    wait = np.divide(used[:, RESIDUAL], idle, out=np.full(len(used), inf), where=idle > 0)
    wait = np.maximum(wait, used[:, BACKLOG])
    return np.stack([*losses, *(compute + wait for compute in computes), *used[:, LIMITED].T], axis=1)


def _root(slope: float, room: float, bend: float) -> float:
    """The least positive s with ``slope s - bend s² / 2 = room``; infinite where there is none, zero without room."""
    if room <= 0:
        return 0.0
    inside = slope**2 - 2 * bend * room
    divisor = slope + sqrt(inside) if inside >= 0 else 0.0
    return 2 * room / divisor if divisor > 0 else inf
