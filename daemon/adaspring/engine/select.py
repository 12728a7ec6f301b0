"""Which engine this device gets."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from adaspring.bundle import Bundle
from adaspring.engine.base import Engine
from adaspring.engine.beside import Beside, here
from adaspring.errors import EngineMissingError

EngineName = Literal["onnxruntime", "torch"]
EngineChoice = Literal["auto", "onnxruntime", "torch"]


def chosen_engine(choice: EngineChoice, preferred: EngineName = "onnxruntime") -> EngineName:
    """The engine that a choice leads to on this device; whether its library is there is another question.

    Args:
        choice: As configured; ``"auto"`` takes what the device prefers, the other where its library is missing.
        preferred: The engine that the profile of the device names.
    """
    if choice != "auto":
        return choice
    other: EngineName = "torch" if preferred == "onnxruntime" else "onnxruntime"
    return preferred if find_spec(preferred) or not find_spec(other) else other


def make_engine(
    choice: EngineChoice,
    bundle: Bundle,
    *,
    threads: int = 1,
    preferred: EngineName = "onnxruntime",
    beside: Beside = here,
) -> Engine:
    """Build the engine asked for.

    Args:
        choice: As configured; see `chosen_engine`.
        bundle: Verified bundle.
        threads: Threads of one frame.
        preferred: The engine that the profile of the device names.
        beside: Runs what an engine's library does of a preparation without the interpreter's lock.

    Raises:
        EngineMissingError: If the library is not installed; the message says what to install.
        EngineError: If the bundle lacks a tensor.
    """
    name = chosen_engine(choice, preferred)
    # Imported late: either library costs memory and start time, and one of them may be absent.
    try:
        if name == "onnxruntime":
            from adaspring.engine.onnx.engine import OnnxEngine  # noqa: PLC0415

            return OnnxEngine(bundle, threads=threads, beside=beside)
        from adaspring.engine.torch.engine import TorchEngine  # noqa: PLC0415
    except ImportError as error:
        raise EngineMissingError(f"the engine {name!r} needs the package {name}: pip install {name}") from error
    return TorchEngine(bundle, threads=threads)
