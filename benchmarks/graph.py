"""Encoding a subnet as ONNX: our encoder against the onnx package, and what importing that costs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from adaspring.engine.assemble import Assembled, Assembler
from adaspring.engine.onnx.graph import encode
from adaspring.engine.onnx.proto import INPUT, IR_VERSION, MICROSOFT, OPSET, OUTPUT
from adaspring.space import Layer, run_block
from benchmarks.harness import finish, har, percentile

SUBNETS = 200

IMPORT = """
import time, psutil, onnxruntime
rss, at = psutil.Process().memory_info().rss, time.perf_counter()
import onnx, onnx.helper, onnx.numpy_helper
print((time.perf_counter() - at) * 1e3, (psutil.Process().memory_info().rss - rss) / 2**20)
"""


def main() -> None:
    """Encode the same subnets both ways, in turn."""
    bundle = har()
    assembler, shape, outputs = Assembler(bundle), bundle.manifest.input.shape, bundle.space.spec.outputs
    ours: list[float] = []
    theirs: list[float] = []
    for genome in bundle.space.random(np.random.default_rng(0), SUBNETS):
        assembled = assembler.assemble(genome)
        ours.append(_timed_us(partial(encode, assembled, shape, outputs)))
        theirs.append(_timed_us(partial(_with_onnx, assembled, shape, outputs)))
    imports = [_import_cost() for _ in range(5)]
    finish(
        {
            "ours_p50_us": percentile(ours, 50),
            "onnx_p50_us": percentile(theirs, 50),
            "ours_p99_us": percentile(ours, 99),
            "onnx_p99_us": percentile(theirs, 99),
            "onnx_import_ms": percentile([milliseconds for milliseconds, _ in imports], 50),
            "onnx_import_mib": percentile([mebibytes for _, mebibytes in imports], 50),
        }
    )


class _Builder:
    """Writes operations with the builder of the onnx package; a tensor is its name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []

    def convolve(self, layer: Layer, x: str) -> str:
        """See `space.Arithmetic`."""
        conv = layer.conv
        attributes: dict[str, Any] = {
            "kernel_shape": conv.kernel,
            "strides": conv.stride,
            "pads": [extent // 2 for extent in conv.kernel] * 2,
            "group": conv.out_channels if conv.depthwise else 1,
        }
        if conv.relu:
            attributes |= {"activation": "Relu", "domain": MICROSOFT}
        names = [x, f"{layer.name}.w", f"{layer.name}.b"]
        self.nodes.append(helper.make_node("FusedConv" if conv.relu else "Conv", names, [layer.name], **attributes))
        return layer.name

    def concatenate(self, parts: list[str]) -> str:
        """See `space.Arithmetic`."""
        self.nodes.append(helper.make_node("Concat", parts, [f"{parts[0]}.merged"], axis=1))
        return f"{parts[0]}.merged"

    def add(self, x: str, shortcut: str) -> str:
        """See `space.Arithmetic`."""
        self.nodes.append(helper.make_node("Add", [x, shortcut], [f"{x}.sum"]))
        self.nodes.append(helper.make_node("Relu", [f"{x}.sum"], [f"{x}.out"]))
        return f"{x}.out"


def _with_onnx(assembled: Assembled, shape: tuple[int, ...], outputs: int) -> bytes:
    builder, source = _Builder(), INPUT
    for block in assembled.blocks:
        source = run_block(block, source, builder)
    nodes, weights = builder.nodes, []
    for name, folded in assembled.layers.items():
        weights.append(numpy_helper.from_array(folded.weight, f"{name}.w"))
        weights.append(numpy_helper.from_array(folded.bias, f"{name}.b"))
    nodes += [
        helper.make_node("GlobalAveragePool", [source], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "head.w", "head.b"], [OUTPUT], transB=1),
    ]
    weights += [
        numpy_helper.from_array(assembled.head_weight, "head.w"),
        numpy_helper.from_array(assembled.head_bias, "head.b"),
    ]
    graph = helper.make_graph(
        nodes,
        "subnet",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", outputs])],
        weights,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    serialized: bytes = model.SerializeToString()
    return serialized


def _timed_us(encode_once: Callable[[], object]) -> float:
    started = time.perf_counter()
    encode_once()
    return (time.perf_counter() - started) * 1e6


def _import_cost() -> tuple[float, float]:
    output = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True).stdout
    milliseconds, mebibytes = output.split()
    return float(milliseconds), float(mebibytes)


if __name__ == "__main__":
    main()
