"""The models that are served, taken together: what they see, why to decide anew, and what is decided for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from adaspring.app.evolution import Evolution
from adaspring.app.served import Served
from adaspring.context.model import Context
from adaspring.decide import Cause, Choice, choose_together
from adaspring.errors import ConfigError

#: Swaps a model to what was decided for it; raises EngineError if that cannot be prepared.
Swap = Callable[[], Evolution]


class ModelGroup:
    """All models of a daemon, the highest priority first."""

    def __init__(self, models: Sequence[Served], seed: int = 0) -> None:
        """Gather them.

        Args:
            models: At least one, the highest priority first.
            seed: Seed of decisions about several.
        """
        self._models = {served.name: served for served in models}
        self._seed = seed

    def __len__(self) -> int:
        """Models."""
        return len(self._models)

    def __iter__(self) -> Iterator[Served]:
        """The models."""
        return iter(self._models.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._models)

    @property
    def emergency(self) -> bool:
        """Whether one was decided for in an emergency that has not ended since."""
        return any(served.trigger.emergency for served in self)

    def named(self, model: str | None) -> Served:
        """A model by its name, the first where none is named.

        Raises:
            ConfigError: If it is not served.
        """
        if model is None:
            return next(iter(self))
        if model not in self._models:
            raise ConfigError(f"model {model!r} is not served; expected {' or '.join(self._models)}")
        return self._models[model]

    def sense(self, device: Context) -> None:
        """Let each take in what the device is going through, with the frames of all."""
        for served in self:
            served.sense(device, alone=len(self) == 1)

    def cause(self, now_s: float) -> Cause | None:
        """Why to decide anew, for the sake of the first that is not pinned and asks for it; None where none does."""
        for served in self:
            served.hold(now_s)
        causes = (served.trigger.check(served.context, now_s) for served in self if not served.pinned)
        return next(filter(None, causes), None)

    def decide(self, cause: Cause, device: Context, seen_s: float) -> list[tuple[Served, Swap]]:
        """Decide; for each model that is not pinned, what swaps its subnet.

        Of several, those that need less memory than before come first, so that there is room for those that need more.

        Args:
            cause: Why.
            device: What the device is going through, with the frames of all.
            seen_s: When that was seen, on the clock of the evolvers.
        """
        if len(self) == 1:
            [served] = self
            return [(served, lambda: served.evolver.evolve(cause, served.context, seen_s))]
        choices, together = choose_together([served.member() for served in self], device, seed=self._seed)
        chosen = [(served, choice) for served, choice in zip(self, choices, strict=True) if choice is not None]
        return [
            (served, partial(served.evolver.follow, choice, cause, seen_s, together))
            for served, choice in sorted(chosen, key=lambda pair: _gained_bytes(*pair))
        ]


def _gained_bytes(served: Served, choice: Choice) -> int:
    """By how much more memory a choice takes than what runs."""
    planner, running = served.evolver.planner, served.evolver.active.current.subnet.genome
    return planner.predict(choice.genome).memory_bytes - planner.predict(running).memory_bytes
