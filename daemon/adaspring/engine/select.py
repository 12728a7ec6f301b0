"""Which engine this device gets."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from adaspring.bundle import Bundle
from adaspring.engine.base import Engine
from adaspring.errors import EngineMissingError

EngineChoice = Literal["auto", "onnxruntime", "torch"]


def chosen_engine(choice: EngineChoice) -> Literal["onnxruntime", "torch"]:
    """The engine that a choice leads to on this device; whether its library is there is another question."""
    if choice == "auto":
        return "onnxruntime" if find_spec("onnxruntime") or not find_spec("torch") else "torch"
    return choice


def make_engine(choice: EngineChoice, bundle: Bundle, *, threads: int = 1) -> Engine:
    """Build the engine asked for.

    Args:
        choice: ``"auto"`` takes onnxruntime where it is installed, else torch.
        bundle: Verified bundle.
        threads: Threads of one frame.

    Raises:
        EngineMissingError: If the library is not installed; the message says what to install.
        EngineError: If the bundle lacks a tensor.
    """
    choice = chosen_engine(choice)
    # Imported late: either library costs memory and start time, and one of them may be absent.
    try:
        if choice == "onnxruntime":
            from adaspring.engine.onnx.engine import OnnxEngine  # noqa: PLC0415

            return OnnxEngine(bundle, threads=threads)
        from adaspring.engine.torch.engine import TorchEngine  # noqa: PLC0415
    except ImportError as error:
        raise EngineMissingError(f"the engine {choice!r} needs the package {choice}: pip install {choice}") from error
    return TorchEngine(bundle, threads=threads)
