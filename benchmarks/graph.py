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
from adaspring.engine.onnx.proto import INPUT, IR_VERSION, MICROSOFT, OPSET, OUTPUT, encode
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


def _with_onnx(assembled: Assembled, shape: tuple[int, ...], outputs: int) -> bytes:
    nodes, weights, source = [], [], INPUT
    for index, folded in enumerate(assembled.layers):
        conv, dimensions = folded.layer.conv, len(folded.layer.in_size)
        attributes: dict[str, Any] = {
            "kernel_shape": [conv.kernel] * dimensions,
            "strides": [conv.stride] * dimensions,
            "pads": [conv.kernel // 2] * (2 * dimensions),
            "group": conv.out_channels if conv.depthwise else 1,
        }
        names, target = [source, f"w{index}", f"b{index}"], f"t{index}"
        if conv.relu:
            node = helper.make_node("FusedConv", names, [target], domain=MICROSOFT, activation="Relu", **attributes)
        else:
            node = helper.make_node("Conv", names, [target], **attributes)
        nodes.append(node)
        weights += [
            numpy_helper.from_array(folded.weight, f"w{index}"),
            numpy_helper.from_array(folded.bias, f"b{index}"),
        ]
        source = target
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
