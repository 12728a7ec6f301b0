"""What served frames told about the tables of a planner, under the condition that holds."""

from __future__ import annotations

import numpy.typing as npt

from adaspring.context.model import Context
from adaspring.decide.decision import Corrections
from adaspring.decide.policy import Policy, PowerMode, power_mode, thermal_state
from adaspring.space import Genome, SearchSpace
from adaspring.tables import DeviceTables, EnergyCorrection, LatencyCorrection


class Knowledge:
    """Tables of a device, and how far off they are right now.

    Attributes:
        space: The search space.
        tables: Latency and energy on this device.
        policy: What is asked of the daemon; it says what is hot.
        correction: Online correction of the latency table.
        energy_correction: Online correction of the energy table.
    """

    def __init__(
        self,
        space: SearchSpace,
        tables: DeviceTables,
        policy: Policy,
        correction: LatencyCorrection | None,
        energy_correction: EnergyCorrection | None,
    ) -> None:
        """Begin with what was learned before.

        Args:
            space: See the class.
            tables: See the class.
            policy: See the class.
            correction: See the class; None where nothing was learned.
            energy_correction: See the class; None where nothing was learned.
        """
        self.space = space
        self.tables = tables
        self.policy = policy
        self.correction = LatencyCorrection() if correction is None else correction
        self.energy_correction = EnergyCorrection() if energy_correction is None else energy_correction
        self._conditions: tuple[str, ...] = ("",)
        self._looked_up: tuple[bytes, float, float] = (b"", 0.0, 0.0)

    def enter(self, context: Context) -> None:
        """Let the condition of a context hold from here on."""
        self._conditions = self.conditions(context)

    def corrected(self, context: Context, genome: Genome | None) -> Corrections:
        """What was learned under the condition of a context, which holds from here on, also about one subnet."""
        self.enter(context)
        return self.corrections(genome)

    def conditions(self, context: Context) -> tuple[str, ...]:
        """The condition that corrections are kept under in a context, then those that tell more than nothing.

        Heat and throttling move latency most, so another power mode at the same heat is nearest.
        """
        here, heat = power_mode(context), thermal_state(self.policy, context)
        modes: tuple[PowerMode, ...] = ("mains", "battery", "unknown")
        others = [mode for mode in modes if mode != here]
        return tuple(f"{self.tables.facts.engine} {mode} {heat}" for mode in (here, *others))

    @property
    def condition(self) -> str:
        """The condition of the last decision, as corrections name it."""
        return self._conditions[0]

    @property
    def latency_correction(self) -> float:
        """Measured over predicted latency under the condition of the last decision."""
        return self.correction.factor(*self._conditions)

    @property
    def energy_factor(self) -> float:
        """Measured over predicted energy under the condition of the last decision."""
        return self.energy_correction.factor(*self._conditions)

    @property
    def tail_ratio(self) -> float:
        """95th percentile of latency over that of the table under that condition; the table's where no frames told."""
        learned = self.correction.tail_ratio(*self._conditions)
        return self.tables.facts.tail_ratio if learned is None else learned

    def corrections(self, genome: Genome | None = None) -> Corrections:
        """What was learned under that condition, also about one subnet."""
        factor = self.latency_correction
        own = factor if genome is None else self.latency_correction_of(genome)
        return Corrections(factor, self.tail_ratio, self.energy_factor, own)

    def latency_correction_of(self, genome: Genome) -> float:
        """Measured over predicted latency of one subnet under that condition, where its own frames told."""
        return self.correction.factor_of(genome.tobytes(), *self._conditions)

    def observe(self, genome: Genome, latency_us: npt.ArrayLike, context: Context | None = None) -> None:
        """Learn from measured frames.

        Args:
            genome: The subnet that answered them.
            latency_us: Their compute, one or many, oldest first, in microseconds.
            context: Under which they were measured; None for that of the last decision.
        """
        conditions = self._conditions if context is None else self.conditions(context)
        predicted, _ = self.uncorrected(genome)
        self.correction.observe(predicted, latency_us, conditions[0], genome.tobytes())

    def observe_power(self, genome: Genome, context: Context) -> None:
        """Learn from a context that tells the power drawn while a subnet answers frames."""
        if context.power_w is None or context.event_rate_hz is None:
            return
        _, energy_mj = self.uncorrected(genome)
        predicted_w = energy_mj * 1e-3 * context.event_rate_hz
        self.energy_correction.observe(predicted_w, context.power_w, self.conditions(context)[0])

    def uncorrected(self, genome: Genome) -> tuple[float, float]:
        """Latency and energy of a subnet in the tables; looked up once for the frames of many ticks."""
        key = genome.tobytes()
        if key != self._looked_up[0]:
            latency_us = self.tables.latency_us.evaluate(self.space, genome[None])[0]
            energy_mj = self.tables.energy_mj.evaluate(self.space, genome[None])[0]
            self._looked_up = (key, float(latency_us), float(energy_mj))
        return self._looked_up[1:]
