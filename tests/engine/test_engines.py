from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.bundle import Bundle
from adaspring.engine import Active, EngineChoice, Prepared, Subnet, SubnetCache, make_engine, select
from adaspring.engine.assemble import Assembled, Assembler
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.engine.onnx.graph import encode
from adaspring.engine.select import EngineName, chosen_engine
from adaspring.errors import EngineError, EngineMissingError
from adaspring.space import Genome, Layer, SpaceSpec, run_block, subnet_costs

#: Largest difference of a logit between engines: float32 rounding in another order.
TOLERANCE = 2e-5


class Definition:
    """Arithmetic by the definition of a convolution, in float64; a tensor has no batch axis."""

    def __init__(self, assembled: Assembled) -> None:
        """Take the arrays of a subnet."""
        self._layers = assembled.layers

    def convolve(self, layer: Layer, x: np.ndarray) -> np.ndarray:
        """Every window of the padded input against the weight."""
        conv, folded = layer.conv, self._layers[layer.name]
        padded = np.pad(x, [(0, 0), *((extent // 2,) * 2 for extent in conv.kernel)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, conv.kernel, axis=tuple(range(1, x.ndim)))
        windows = windows[(slice(None), *(slice(None, None, along) for along in conv.stride))]
        spatial, taps = "yz"[: x.ndim - 1], "kl"[: x.ndim - 1]
        if conv.depthwise:
            x = np.einsum(f"c{spatial}{taps},c{taps}->c{spatial}", windows, folded.weight[:, 0])
        else:
            x = np.einsum(f"c{spatial}{taps},oc{taps}->o{spatial}", windows, folded.weight)
        x += folded.bias.reshape(-1, *(1,) * (x.ndim - 1))
        activated: np.ndarray = np.maximum(x, 0) if conv.relu else x
        return activated

    def concatenate(self, parts: list[np.ndarray]) -> np.ndarray:
        """Channels one behind the other."""
        return np.concatenate(parts)

    def add(self, x: np.ndarray, shortcut: np.ndarray) -> np.ndarray:
        """Their sum, cut at zero."""
        activated: np.ndarray = np.maximum(x + shortcut, 0)
        return activated


def reference(assembled: Assembled, sample: np.ndarray) -> np.ndarray:
    """Logits of one sample by definition."""
    x = sample.astype(np.float64)
    for block in assembled.blocks:
        x = run_block(block, x, Definition(assembled))
    logits: np.ndarray = assembled.head_weight @ x.reshape(len(x), -1).mean(axis=1) + assembled.head_bias
    return logits


@pytest.fixture(scope="session", params=["small_spec", "image_spec", "residual_spec", "residual_image_spec"])
def bundle(
    request: pytest.FixtureRequest,
    make_bundle: Callable[[SpaceSpec, Path], Bundle],
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    """Bundles with one spatial axis and with two, plain and residual."""
    return make_bundle(request.getfixturevalue(request.param), tmp_path_factory.mktemp("engines") / "toy")


class _Sized:
    """Prepares nothing, of given sizes."""

    name = "sized"

    def __init__(self, sizes_mib: dict[bytes, float]) -> None:
        """Take the size of each genome."""
        self._sizes_mib = sizes_mib

    def prepare(self, genome: Genome) -> Prepared:
        """See `engine.base.Engine`."""
        return Prepared(MagicMock(spec=Subnet), 0.0, 0.0, 0.0, self._sizes_mib[bytes(genome)])


def some_genomes(bundle: Bundle, count: int) -> Genome:
    """The extremes and random genomes."""
    space = bundle.space
    return np.concatenate([[space.full(), space.smallest()], space.random(np.random.default_rng(3), count)])


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_engines_compute_what_the_definition_says(bundle: Bundle, name: str) -> None:
    """Every operator, skip and stride gives the logits of the plain definition, for a batch of two."""
    if name == "torch":
        pytest.importorskip("torch")
    engine = make_engine(name, bundle)  # type: ignore[arg-type]
    assembler = Assembler(bundle)
    batch = np.random.default_rng(0).standard_normal((2, *bundle.manifest.input.shape), dtype=np.float32)
    for genome in some_genomes(bundle, 30):
        expected = [reference(assembler.assemble(genome), sample) for sample in batch]
        np.testing.assert_allclose(engine.prepare(genome).subnet.run(batch), expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_encoded_graphs_hold_against_the_onnx_package(bundle: Bundle) -> None:
    """Our bytes parse as ONNX, pass its checker, and carry exactly the assembled weights."""
    assembler = Assembler(bundle)
    shape, outputs = bundle.manifest.input.shape, bundle.space.spec.outputs
    for genome in some_genomes(bundle, 10):
        assembled = assembler.assemble(genome)
        model = onnx.load_from_string(encode(assembled, shape, outputs))
        onnx.checker.check_model(model)
        arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        for name, folded in assembled.layers.items():
            np.testing.assert_array_equal(folded.weight, arrays[f"{name}.w"])
            np.testing.assert_array_equal(folded.bias, arrays[f"{name}.b"])
        convolutions = [node for node in model.graph.node if node.op_type in {"Conv", "FusedConv"}]
        assert len(assembled.layers) == len(convolutions)


def test_a_sum_is_fused_into_the_convolution_before_it(
    make_bundle: Callable[[SpaceSpec, Path], Bundle], residual_spec: SpaceSpec, tmp_path: Path
) -> None:
    """A residual block of full convolutions needs no node for its sum; behind branches it needs one."""
    assembler = Assembler(make_bundle(residual_spec, tmp_path / "bundle"))
    shape = (residual_spec.input_channels, *residual_spec.input_size)
    for text, sums in [("f32:c32.c24.c32.c32", 0), ("f32:c32.f24.c32.f32", 2)]:
        model = onnx.load_from_string(encode(assembler.assemble(assembler.space.parse(text)), shape, 4))
        assert sums == sum(node.op_type == "Add" for node in model.graph.node)


def test_input_scale_is_folded_in(small_bundle: Bundle) -> None:
    """Frames in raw units equal scaled frames of a bundle without a scale: the first layers carry it."""
    scale = np.array(small_bundle.manifest.input.scale)
    for index in range(len(small_bundle.space.choices[0])):
        genome = small_bundle.space.full()
        genome[0] = index
        first = next(iter(Assembler(small_bundle).assemble(genome).layers.values()))
        raw = small_bundle.weights[f"{first.layer.name}.weight"]
        raw = raw[: len(first.weight)]
        along = (-1, 1, 1) if first.layer.conv.depthwise else (1, -1, 1)
        ratio = first.weight / (raw * scale.reshape(along))
        # What is left beside the scale is the batch norm's gain, one factor per output channel.
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], ratio.shape), rtol=1e-4)


def test_a_missing_tensor_is_named(small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle without a tensor that a subnet needs is an engine error that names it."""
    monkeypatch.delitem(small_bundle.weights, "slots.2.conv.full.gamma")
    engine = OnnxEngine(small_bundle)
    with pytest.raises(EngineError, match=r"slots\.2\.conv\.full\.gamma"):
        engine.prepare(small_bundle.space.full())


def test_a_session_that_cannot_be_built_is_an_engine_error(
    small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What onnxruntime refuses comes out as an engine error that names the subnet."""
    monkeypatch.setitem(small_bundle.weights, "head.weight", np.zeros((4, 3), dtype=np.float32))
    engine = OnnxEngine(small_bundle)
    with pytest.raises(EngineError, match="f32:c16"):
        engine.prepare(small_bundle.space.full())


def test_a_missing_library_says_what_to_install(small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forcing an engine that is not installed names the package."""
    monkeypatch.setitem(__import__("sys").modules, "adaspring.engine.torch.engine", None)
    with pytest.raises(EngineMissingError, match="pip install torch"):
        make_engine("torch", small_bundle)


@pytest.mark.parametrize(
    ("choice", "preferred", "installed", "chosen"),
    [
        ("auto", "onnxruntime", {"onnxruntime", "torch"}, "onnxruntime"),
        ("auto", "torch", {"onnxruntime", "torch"}, "torch"),
        ("auto", "torch", {"onnxruntime"}, "onnxruntime"),
        ("auto", "onnxruntime", {"torch"}, "torch"),
        ("auto", "torch", set(), "torch"),
        ("onnxruntime", "torch", {"torch"}, "onnxruntime"),
        ("torch", "onnxruntime", {"onnxruntime"}, "torch"),
    ],
)
def test_the_profile_chooses_the_engine_unless_one_is_forced(
    choice: EngineChoice,
    preferred: EngineName,
    installed: set[str],
    chosen: EngineName,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By itself the profile's engine is taken, and the other where its library is missing; a forced one is taken."""
    monkeypatch.setattr(select, "find_spec", lambda name: name if name in installed else None)
    assert chosen == chosen_engine(choice, preferred)


@given(
    limit_mib=st.floats(0.0, 4.0),
    session_mib=st.floats(0.0, 1.0),
    sizes=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8),
    asked=st.lists(st.integers(0, 7), max_size=30),
)
def test_the_cache_stays_within_its_memory(
    small_bundle: Bundle, limit_mib: float, session_mib: float, sizes: list[float], asked: list[int]
) -> None:
    """Whatever is asked for, what it holds fits, and the subnet asked for last is in it if it fits by itself."""
    genomes = small_bundle.space.random(np.random.default_rng(0), len(sizes))
    cache = SubnetCache(_Sized(dict(zip(map(bytes, genomes), sizes, strict=True))), limit_mib, session_mib)
    for number in asked:
        genome = genomes[number % len(sizes)]
        prepared, _ = cache.prepare(genome)
        assert cache.held_mib <= limit_mib
        assert cache.prepare(genome)[1] == (prepared.weights_mib + session_mib <= limit_mib)


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_a_prepared_subnet_knows_what_its_weights_take(small_bundle: Bundle, name: EngineName) -> None:
    """At least the bytes of its parameters, and little more."""
    if name == "torch":
        pytest.importorskip("torch")
    genome = small_bundle.space.full()
    mib = 4 * subnet_costs(small_bundle.space, genome).parameters / 2**20
    assert mib <= make_engine(name, small_bundle).prepare(genome).weights_mib < mib + 0.02


def test_the_cache_holds_what_was_used_last(small_bundle: Bundle) -> None:
    """A hit gives the very subnet; the least recently used leaves first; without memory none is kept."""
    genomes = some_genomes(small_bundle, 2)
    cache = SubnetCache(OnnxEngine(small_bundle), limit_mib=2.5, session_mib=1.0)
    first, hit = cache.prepare(genomes[0])
    assert not hit
    cache.prepare(genomes[1])
    again, hit = cache.prepare(genomes[0])
    assert (True, first.subnet, 0.0) == (hit, again.subnet, again.load_us)
    cache.prepare(genomes[2])  # genomes[1] leaves
    assert cache.prepare(genomes[0])[1]
    assert not cache.prepare(genomes[1])[1]
    cache.clear()
    assert len(cache) == 0
    none = SubnetCache(cache.engine, limit_mib=0.0)
    none.prepare(genomes[0])
    assert not none.prepare(genomes[0])[1]


def test_publishing_counts_generations(small_bundle: Bundle) -> None:
    """Each published subnet is a new generation, visible at once."""
    engine = OnnxEngine(small_bundle)
    first, second = (engine.prepare(genome).subnet for genome in some_genomes(small_bundle, 0))
    active = Active(first)
    assert (1, first) == (active.current.number, active.current.subnet)
    published = active.publish(second)
    assert published is active.current
    assert (2, second) == (published.number, published.subnet)
