"""The onnxruntime engine: the default on boards that compute on their CPU."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import onnxruntime

from adaspring.bundle import Bundle
from adaspring.engine.assemble import Assembler
from adaspring.engine.base import Batch, Prepared, warm
from adaspring.engine.beside import Beside, here
from adaspring.engine.onnx.graph import encode
from adaspring.engine.onnx.graph_int8 import encode_int8
from adaspring.engine.onnx.proto import INPUT, OUTPUT
from adaspring.engine.quantize import Quantizer
from adaspring.errors import EngineError
from adaspring.space import Genome

#: Axes of a sample of an image or of what is treated as one: channels, height and width.
IMAGE_AXES = 3


class OnnxSubnet:
    """A subnet behind an onnxruntime session."""

    def __init__(self, genome: Genome, name: str, session: onnxruntime.InferenceSession) -> None:
        """Wrap a session."""
        self.genome = genome
        self.name = name
        self.batch_sizes: tuple[int, ...] = (1,)
        self._session = session

    def run(self, batch: Batch) -> Batch:
        """Logits of a batch; see `engine.base.Subnet`."""
        logits: Batch = self._session.run([OUTPUT], {INPUT: batch})[0]
        return logits


class OnnxEngine:
    """Builds onnxruntime sessions from assembled subnets, in memory."""

    def __init__(self, bundle: Bundle, *, threads: int = 1, beside: Beside = here) -> None:
        """Take a bundle.

        Args:
            bundle: Verified bundle.
            threads: Threads of one frame. One is quickest for networks of well under a
                millisecond: handing out work costs more than it saves.
            beside: Runs what onnxruntime does of a preparation, where one thread computes a frame.

        Raises:
            EngineError: If the bundle lacks a tensor.
        """
        self.name = f"onnxruntime-{onnxruntime.__version__}-t{threads}"
        self._space = bundle.space
        self._assembler = Assembler(bundle)
        self._quantizer = Quantizer(bundle) if "int8" in bundle.space.spec.precisions else None
        self._shape = bundle.manifest.input.shape
        self._outputs = bundle.space.spec.outputs
        # The threads of a session inherit the niceness of the one that makes it, and they are to compute frames.
        self._beside = beside if threads == 1 else here
        self._options = {
            "float32": session_options(threads, in_blocks=len(self._shape) == IMAGE_AXES),
            "int8": session_options(threads, in_blocks=False),
        }

    def prepare(self, genome: Genome) -> Prepared:
        """Assemble, load and warm a subnet; see `engine.base.Engine`."""
        started = perf_counter()
        model = self._encoded(genome)
        encoded = perf_counter()
        name = self._space.format(genome)
        options = self._options[self._space.precision(genome)]

        def load_and_warm() -> tuple[OnnxSubnet, float]:
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            loaded = perf_counter()
            subnet = OnnxSubnet(genome, name, session)
            warm(subnet, np.zeros((1, *self._shape), dtype=np.float32))
            return subnet, loaded

        try:
            subnet, loaded = self._beside(load_and_warm)
        # onnxruntime raises classes of its own that share only Exception.
        except Exception as error:
            raise EngineError(f"onnxruntime cannot load subnet {name}: {error}") from error
        done = perf_counter()
        return Prepared(
            subnet,
            assemble_us=(encoded - started) * 1e6,
            load_us=(loaded - encoded) * 1e6,
            warm_us=(done - loaded) * 1e6,
            weights_mib=len(model) / 2**20,
        )

    def _encoded(self, genome: Genome) -> bytes:
        if self._quantizer is not None and self._space.precision(genome) == "int8":
            return encode_int8(self._quantizer.assemble(genome), self._shape, self._outputs)
        return encode(self._assembler.assemble(genome), self._shape, self._outputs)


def session_options(threads: int, *, in_blocks: bool) -> onnxruntime.SessionOptions:
    """How sessions are built.

    Args:
        threads: Threads of one frame.
        in_blocks: Whether onnxruntime shall lay channels out in blocks, as its quickest convolutions
            want them where it has such. It does so for images alone, and only when it optimises.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # The graph arrives fused (see `graph.encode`); optimising it again costs half a millisecond
    # for each session and gains nothing but the layout.
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if in_blocks else level.ORT_DISABLE_ALL
    # A session lives for one subnet: an arena of its own would only hold memory, and gains
    # nothing either (`benchmarks.engine` measures each of these choices).
    options.enable_cpu_mem_arena = False
    # Warnings go to the journal through our own errors.
    options.log_severity_level = 3
    return options
