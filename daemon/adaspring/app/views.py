"""What operators and observers see of the daemon and its models."""

from __future__ import annotations

from collections.abc import Callable

import adaspring
from adaspring.app.evolution import Evolution
from adaspring.app.group import ModelGroup
from adaspring.app.status import Status, TablesView, measured, slot_views
from adaspring.context import Monitor
from adaspring.decide import latency_asked_s
from adaspring.serve.server import DataPlane


class Views:
    """Looks, and changes nothing. The control thread uses it."""

    def __init__(
        self,
        models: ModelGroup,
        monitor: Monitor,
        data: DataPlane,
        *,
        device: str,
        engine: str,
        boot_id: str,
        clock: Callable[[], float],
    ) -> None:
        """Look at a daemon that starts now.

        Args:
            models: The models that are served.
            monitor: Sensors to context.
            data: The data plane.
            device: Name of the device profile.
            engine: Name of the engine.
            boot_id: Of the kernel.
            clock: Monotonic, in seconds.
        """
        self._models = models
        self._monitor = monitor
        self._data = data
        self._device = device
        self._engine = engine
        self._boot_id = boot_id
        self._clock = clock
        self._started_s = clock()

    def status(self, model: str | None = None) -> Status:
        """The daemon at this moment, and one of its models: the one of the highest priority where none is named.

        Raises:
            ConfigError: If no such model is served.
        """
        served = self._models.named(model)
        planner, generation = served.evolver.planner, served.evolver.active.current
        genome, counters = generation.subnet.genome, served.counters
        asked_s, _ = latency_asked_s(planner.policy, served.context)
        return Status(
            version=adaspring.__version__,
            model=served.name,
            bundle_version=served.bundle.manifest.version,
            device=self._device,
            engine=self._engine,
            boot_id=self._boot_id,
            uptime_s=self._clock() - self._started_s,
            subnet=generation.subnet.name,
            slots=slot_views(served.bundle.space, genome),
            generation=generation.number,
            pinned=served.pinned,
            profiling=planner.tables.facts.estimate and served.keeper.rebuilding,
            predicted=planner.predict(genome),
            full_energy_mj=planner.reference.energy_mj * planner.energy_factor,
            budgets=served.budgets,
            measured=measured(counters.recent_us(), counters.recent_total_us(), asked_s * 1e6),
            latency_correction=planner.latency_correction_of(genome),
            context=served.context,
            readings=self._monitor.readings,
            tables=planner.tables.facts,
            requests=self._data.statistics(None if len(self._models) == 1 else served.name),
            evolutions=sum(served.tally.totals.evolutions.values()),
            last_evolution=served.recent[-1],
            totals=served.tally.totals,
            models=self._models.names,
            priority=served.priority,
        )

    def statuses(self) -> list[Status]:
        """See `AllObserved.statuses`."""
        return [self.status(name) for name in self._models.names]

    def tables(self, model: str | None = None) -> TablesView:
        """What is decided from, and how it was corrected; arguments and errors are those of `status`."""
        return self._models.named(model).keeper.view()

    def explain(self, model: str | None = None) -> Evolution:
        """The newest evolution: why the active subnet is the active one; arguments and errors as of `status`."""
        return self._models.named(model).recent[-1]

    def decisions(self) -> list[Evolution]:
        """Recent evolutions, oldest first."""
        return sorted(
            (evolution for served in self._models for evolution in served.recent),
            key=lambda evolution: evolution.at_s,
        )
