from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from adaspring.bundle import Bundle
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.engine.onnx.graph_int8 import encode_int8
from adaspring.engine.quantize import Grid, Quantizer
from adaspring.engine.torch.engine import TorchEngine
from adaspring.errors import EngineError
from adaspring.space import Genome, SpaceSpec
from adaspring.workbench.ranges import calibrate
from adaspring.workbench.sampling import covering, diverse
from adaspring.workbench.statistics import fit, record

#: Root mean square of the error of int8 logits over their standard deviation. Random weights
#: are the worst case: what a trained network rounds away hardly matters to its answer.
TOLERANCE = 0.2
#: Largest difference between the engines, over the same: a code that is rounded the other way
#: moves all that stands behind it.
ENGINES_TOLERANCE = 0.05


@pytest.fixture(scope="module", params=["small_spec", "image_spec", "residual_spec", "residual_image_spec"])
def bundle(
    request: pytest.FixtureRequest,
    make_bundle: Callable[[SpaceSpec, Path], Bundle],
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    """Bundles in two precisions with statistics and ranges of noise: 1-D and 2-D, plain and residual."""
    spec = msgspec.structs.replace(request.getfixturevalue(request.param), precisions=("float32", "int8"))
    made = make_bundle(spec, tmp_path_factory.mktemp("int8") / "toy")
    weights = {name: torch.from_numpy(array) for name, array in made.weights.items()}
    scale = np.array(made.manifest.input.scale, dtype=np.float32).reshape(-1, *(1,) * len(spec.input_size))
    genomes = np.concatenate([each_choice(made), diverse(made.space, np.random.default_rng(0), 60)])
    x = torch.from_numpy(frames(made, 32) * scale)
    weights |= fit(made.space, record(made.space, weights, genomes, x), ridge=0.1)
    weights |= calibrate(made.space, weights, genomes, x, ridge=0.1)
    return replace(made, weights={name: tensor.numpy() for name, tensor in weights.items()})


def frames(bundle: Bundle, count: int) -> np.ndarray:
    """Noise in raw units."""
    return np.random.default_rng(1).standard_normal((count, *bundle.manifest.input.shape), dtype=np.float32)


def each_choice(bundle: Bundle) -> Genome:
    """int8 subnets that take each choice of each slot in turn, the rest full, then random ones."""
    drawn = np.concatenate([covering(bundle.space), bundle.space.random(np.random.default_rng(2), 10)])
    drawn[:, -1] = 1
    return drawn


def in_float32(genome: Genome) -> Genome:
    """The same subnet in float32."""
    return np.append(genome[:-1], np.int16(0))


def test_int8_stays_close_to_float32(bundle: Bundle) -> None:
    """Every operator and shortcut answers in int8 as in float32, within the stated tolerance."""
    engine, x = OnnxEngine(bundle), frames(bundle, 16)
    for genome in each_choice(bundle):
        expected = engine.prepare(in_float32(genome)).subnet.run(x)
        error = np.sqrt(np.mean((engine.prepare(genome).subnet.run(x) - expected) ** 2))
        assert error < TOLERANCE * expected.std(), bundle.space.format(genome)


def test_torch_emulates_what_onnxruntime_computes(bundle: Bundle) -> None:
    """The engines agree in int8 up to codes that lie on the edge between two."""
    ours, theirs, x = OnnxEngine(bundle), TorchEngine(bundle), frames(bundle, 8)
    for genome in each_choice(bundle):
        expected = ours.prepare(genome).subnet.run(x)
        difference = np.abs(theirs.prepare(genome).subnet.run(x) - expected).mean()
        assert difference < ENGINES_TOLERANCE * expected.std(), bundle.space.format(genome)


def test_nothing_but_the_classifier_is_left_in_float32(bundle: Bundle, tmp_path: Path) -> None:
    """The graph that onnxruntime optimises has each convolution, sum and merge in int8, and runs."""
    quantizer, space = Quantizer(bundle), bundle.space
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    for genome in each_choice(bundle):
        subnet = quantizer.assemble(genome)
        encoded = encode_int8(subnet, bundle.manifest.input.shape, space.spec.outputs)
        onnx.checker.check_model(onnx.load_from_string(encoded))
        onnxruntime.InferenceSession(encoded, options, providers=["CPUExecutionProvider"])
        found = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
        assert len(subnet.layers) == found.count("QLinearConv")
        assert not {"Conv", "FusedConv", "NhwcFusedConv", "Concat", "Add", "Relu"} & set(found)


def test_codes_are_sliced_and_the_batch_norm_leaves_them_alone(bundle: Bundle) -> None:
    """Whatever stands upstream and however narrow, the codes of a layer are those of its stored weight."""
    quantizer = Quantizer(bundle)
    whole = {layer.layer.name: layer for layer in quantizer.assemble(each_choice(bundle)[0]).layers.values()}
    for genome in each_choice(bundle):
        for name, layer in quantizer.assemble(genome).layers.items():
            if name in whole and layer.layer.conv.first_channel == 0:
                shape = tuple(slice(min(pair)) for pair in zip(layer.codes.shape, whole[name].codes.shape, strict=True))
                np.testing.assert_array_equal(whole[name].codes[shape], layer.codes[shape])


def test_a_channel_without_gain_keeps_its_bias(bundle: Bundle) -> None:
    """Its scale is raised until the bias fits into 32 bits, instead of overflowing."""
    layer = next(iter(Quantizer(bundle).assemble(each_choice(bundle)[0]).layers.values()))
    source = Grid(0.02, 0)
    silent = replace(layer, scale=np.zeros_like(layer.scale), bias=np.full_like(layer.bias, 3.0))
    scale, codes = silent.behind(source)
    np.testing.assert_allclose(3.0, codes * scale.astype(np.float64) * source.scale, rtol=1e-5)


def test_a_bundle_without_ranges_is_refused_by_name(
    make_bundle: Callable[[SpaceSpec, Path], Bundle], small_spec: SpaceSpec, tmp_path: Path
) -> None:
    """A bundle that offers int8 and holds no ranges says which is missing."""
    made = make_bundle(msgspec.structs.replace(small_spec, precisions=("float32", "int8")), tmp_path / "bundle")
    genome = made.space.full()
    genome[-1] = 1
    with pytest.raises(EngineError, match=r"conv\.full\.range"):
        OnnxEngine(made).prepare(genome)
