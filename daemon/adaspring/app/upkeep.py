"""Keeping the tables true: learning from frames, watching drift, measuring anew and adopting what was measured."""

from __future__ import annotations

import logging
from collections.abc import Callable

from adaspring.app.background import BackgroundProfiler
from adaspring.app.counters import FrameCounters
from adaspring.app.evolution import Evolver
from adaspring.app.learning import Learner
from adaspring.app.messages import Message, told
from adaspring.app.status import TablesView, tables_view
from adaspring.context.model import Context
from adaspring.decide import Cause, Planner

_log = logging.getLogger(__name__)


class TableKeeper:
    """Keeps the tables that an evolver decides from."""

    def __init__(
        self,
        evolver: Evolver,
        counters: FrameCounters,
        learner: Learner,
        background: BackgroundProfiler | None,
        replan: Callable[[], Planner],
        *,
        measure: bool = False,
    ) -> None:
        """Wire a keeper.

        Args:
            evolver: Decides from the tables; gets another planner when they are replaced.
            counters: Recent frames.
            learner: Keeps what is learned about the tables.
            background: Measures tables, or corrects them and builds their atlas anew; running
                already where they are an estimate. None where nothing may run beside.
            replan: Makes a planner from the tables on disk, once `background` is done.
            measure: Whether to have tables measured that are an estimate.
        """
        self._evolver = evolver
        self._counters = counters
        self._learner = learner
        self._background = background
        self._replan = replan
        self._measure = measure

    @property
    def rebuilding(self) -> bool:
        """Whether tables are measured or corrected in the background."""
        return self._background is not None and self._background.running

    def view(self) -> TablesView:
        """What is decided from, and how it was corrected."""
        return tables_view(self._evolver.planner, self._learner, rebuilding=self.rebuilding)

    def learn(self, context: Context) -> None:
        """Learn from the frames since the last call.

        Args:
            context: Under which they were answered.
        """
        genome = self._evolver.active.current.subnet.genome
        self._learner.observe(self._evolver.planner, genome, self._counters.new_us(), context)
        self._learner.save_if_due()

    def tend(self, *, may_begin: bool = True) -> Cause | None:
        """Begin what must be measured and adopt what was; why to decide anew, where tables were adopted.

        Args:
            may_begin: Whether the background is free: what is measured there must not be beside something else.
        """
        background = self._background
        if background is None:
            return None
        if not background.running:
            if may_begin:
                self._watch_drift(background)
        elif background.finished():
            return self._adopt()
        elif not background.running:
            # It failed and has said so; trying again would end the same way.
            self._background = None
        return None

    def _watch_drift(self, background: BackgroundProfiler) -> None:
        tables = self._evolver.planner.tables
        drift = self._learner.drifted_percent(self._evolver.planner)
        if drift is not None:
            self._learner.save()
            _log.info("served frames put the atlas off by %.1f %%: it is rebuilt in the background", drift)
            background.start("atlas")
        elif tables.atlas is None and not tables.facts.estimate:
            background.start("atlas")
        elif tables.facts.estimate and self._measure:
            background.start()

    def _adopt(self) -> Cause | None:
        estimated = self._evolver.planner.tables.facts.estimate
        planner = self._replan()
        if planner.tables.facts.estimate or planner.tables.atlas is None:
            # Trying again would end the same way.
            self._background = None
            _log.error("the run in the background left no tables that can be used: those in use stay")
            return None
        self._evolver.planner = planner
        what = "measured tables replace the estimate" if estimated else "tables were corrected and the atlas rebuilt"
        _log.info("deciding anew: %s", what, extra=told(Message.TABLES_MEASURED))
        return Cause("tables", what)
