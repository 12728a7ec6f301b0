from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from adaspring.bundle import Bundle
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.space import SearchSpace, SpaceSpec, lower_all
from adaspring.workbench.sampling import diverse
from adaspring.workbench.supernet import Recorded, batch_norm, conditioned, features, forward, initial_weights


@pytest.mark.parametrize("family", ["small_spec", "image_spec", "residual_spec", "residual_image_spec"])
def test_a_forward_pass_equals_the_assembled_subnet(
    family: str,
    request: pytest.FixtureRequest,
    make_bundle: Callable[[SpaceSpec, Path], Bundle],
    tmp_path: Path,
) -> None:
    """What is trained computes what the daemon serves, for the full, the smallest and random subnets."""
    spec: SpaceSpec = request.getfixturevalue(family)
    bundle = make_bundle(spec, tmp_path / "bundle")
    space, engine = bundle.space, OnnxEngine(bundle)
    weights = {name: torch.from_numpy(array) for name, array in bundle.weights.items()}
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((5, spec.input_channels, *spec.input_size), dtype=np.float32)
    scale = np.asarray(bundle.manifest.input.scale, dtype=np.float32).reshape(-1, *(1,) * len(spec.input_size))
    for genome in (space.full(), space.smallest(), *diverse(space, rng, 12)):
        logits = forward(space, weights, genome, torch.from_numpy(frames * scale), conditioned(space, weights, genome))
        np.testing.assert_allclose(engine.prepare(genome).subnet.run(frames), logits.numpy(), rtol=1e-4, atol=1e-4)


def test_every_layer_of_the_space_has_weights(small_spec: SpaceSpec) -> None:
    """The supernet holds what a bundle must hold, statistics aside."""
    space = SearchSpace(small_spec)
    weights = initial_weights(space, 0, 0.5)
    for layer in lower_all(space):
        assert layer.weight_shape == tuple(weights[f"{layer.name}.weight"].shape)
        assert (f"{layer.name}.bias" in weights) != layer.conv.norm
        assert (f"{layer.name}.gamma" in weights) == layer.conv.norm
    assert (4, 32) == tuple(weights["head.weight"].shape)


def test_an_identity_slot_passes_its_input_on(small_spec: SpaceSpec) -> None:
    """With nothing but identity, a full slot of stride 1 puts out what a skip would, normalised."""
    space = SearchSpace(small_spec)
    weights = initial_weights(space, 0, 1.0)
    outputs = dict(features(space, weights, space.full(), torch.randn(64, 3, 32), batch_norm))
    before, after = outputs[0].flatten(), outputs[1].flatten()
    # Normalising again shifts each channel below zero a little; the ReLU cuts that off.
    assert torch.corrcoef(torch.stack([before, after]))[0, 1] > 0.9


def test_a_residual_block_starts_as_its_shortcut(residual_spec: SpaceSpec) -> None:
    """Before training, the full network's residual block puts out what a skip would."""
    space = SearchSpace(residual_spec)
    weights = initial_weights(space, 0, 0.5)
    outputs = dict(features(space, weights, space.full(), torch.randn(8, 3, 31), batch_norm))
    torch.testing.assert_close(outputs[0], outputs[1])


def test_recorded_statistics_repeat_the_batch(small_spec: SpaceSpec) -> None:
    """Applied to the rows that they were recorded from, they give what the batch itself gives."""
    space = SearchSpace(small_spec)
    weights, x, statistics = initial_weights(space, 0, 0.5), torch.randn(32, 3, 32), Recorded()
    recorded = forward(space, weights, space.full(), x, statistics.record)
    torch.testing.assert_close(forward(space, weights, space.full(), x, batch_norm), recorded, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(recorded, forward(space, weights, space.full(), x, statistics.apply))
