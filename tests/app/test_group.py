"""Several models taken together by the control loop, where one of them cannot change."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest

from adaspring.app.control import ControlLoop
from adaspring.app.group import ModelGroup
from adaspring.errors import EngineError


def model(name: str) -> Any:
    """A model that an operator holds."""
    made = MagicMock(pinned=True)
    made.name = name
    made.trigger.emergency = False
    return made


def test_a_model_that_cannot_change_keeps_its_pin_and_the_others_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first failure is told; the pin of who changed has ended, that of who could not goes on."""
    models = failing, sound = [model("har"), model("sound")]
    parts: Any = {name: MagicMock() for name in ("monitor", "data", "control", "announcer")}
    loop = ControlLoop(models=models, device="board", engine="engine", interval_s=1.0, **parts)

    def fail() -> Any:
        raise EngineError("there is no memory left")

    evolution = MagicMock()
    monkeypatch.setattr(ModelGroup, "decide", lambda *_: [(failing, fail), (sound, lambda: evolution)])
    with pytest.raises(EngineError, match="no memory left"):
        loop.evolve()
    assert (True, False) == (failing.pinned, sound.pinned)
    assert sound.decided.call_args.args[0] is evolution
    assert failing.decided.call_args.args[0] is failing.first
