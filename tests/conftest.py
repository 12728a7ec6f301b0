"""Fixtures that several packages' tests share."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from hypothesis import settings

from adaspring.bundle import (
    Accuracy,
    AccuracyTables,
    Bundle,
    InputSpec,
    Manifest,
    OutputSpec,
    TrainingFacts,
    load_bundle,
    write_bundle,
)
from adaspring.engine.base import Active, Batch
from adaspring.serve.curve import CurveListener
from adaspring.serve.endpoint import DATA_MODE, claim
from adaspring.serve.http.server import HttpServer
from adaspring.serve.lane import Lane
from adaspring.serve.protocol import DEFAULT_LIMITS, ModelSignature
from adaspring.serve.server import INPROC, DataPlane
from adaspring.space import SearchSpace, SlotSpec, SpaceSpec, analytic_tables, condition_count, lower_all
from adaspring.space.operators import OPERATORS
from adaspring.tables import SlotTable

#: Those of spaces whose size tests depend on.
SOME_OPERATORS = ("conv", "dwsep", "lowrank")

# Property tests judge results, not the speed of a machine that others use too.
settings.register_profile("adaspring", deadline=None)
settings.load_profile("adaspring")


@pytest.fixture(scope="session")
def clone() -> Path:
    """The top of the repository that the tests run in."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def small_spec() -> SpaceSpec:
    """A 1-D space of 4 slots with three operators, a stride and two skips."""
    ratios = (1.0, 0.5)
    return SpaceSpec(
        input_channels=3,
        input_size=(32,),
        outputs=4,
        slots=(
            SlotSpec(width=16, kernel=5, stride=2, operators=SOME_OPERATORS, ratios=ratios),
            SlotSpec(width=16, operators=SOME_OPERATORS, ratios=ratios, skippable=True),
            SlotSpec(width=32, stride=2, operators=SOME_OPERATORS, ratios=ratios),
            SlotSpec(width=32, operators=SOME_OPERATORS, ratios=ratios, skippable=True),
        ),
    )


@pytest.fixture(scope="session")
def image_spec() -> SpaceSpec:
    """A 2-D space of 3 slots."""
    return SpaceSpec(
        input_channels=3,
        input_size=(12, 10),
        outputs=5,
        slots=(
            SlotSpec(width=16, stride=2, operators=SOME_OPERATORS, ratios=(1.0, 0.5)),
            SlotSpec(width=16, operators=SOME_OPERATORS, ratios=(1.0, 0.5), skippable=True),
            SlotSpec(width=24, stride=2, operators=SOME_OPERATORS, ratios=(1.0,)),
        ),
    )


@pytest.fixture(scope="session")
def residual_spec() -> SpaceSpec:
    """A 1-D space of two residual stages, one begun by a plain slot and one by a projection, with a group."""
    return SpaceSpec(
        input_channels=3,
        input_size=(31,),
        outputs=4,
        groups={"elite": {"conv": (1.0, 0.5), "fire": (1.0, 0.5), "dwsep": (0.5,), "lowrank": (0.5,)}},
        slots=(
            SlotSpec(width=32, kernel=7, stride=2, group="elite"),
            SlotSpec(width=24, group="elite", shortcut="identity", skippable=True),
            SlotSpec(width=32, stride=2, group="elite", shortcut="projection"),
            SlotSpec(width=32, group="elite", shortcut="identity"),
        ),
    )


@pytest.fixture(scope="session")
def residual_image_spec() -> SpaceSpec:
    """A 2-D space with a fixed strided stem, a residual stage and every operator that there is."""
    operators = tuple(OPERATORS)
    return SpaceSpec(
        input_channels=3,
        input_size=(17, 14),
        outputs=5,
        slots=(
            SlotSpec(width=16, kernel=5, stride=2),
            SlotSpec(width=32, stride=2, operators=operators, ratios=(1.0, 0.5)),
            SlotSpec(width=32, operators=operators, ratios=(1.0, 0.5), shortcut="identity", skippable=True),
            SlotSpec(width=48, stride=2, operators=operators, ratios=(1.0, 0.5), shortcut="projection"),
        ),
    )


def random_weights(space: SearchSpace, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights and statistics of the right shapes, drawn so that activations neither vanish nor explode."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    weights: dict[str, np.ndarray] = {}
    for layer in lower_all(space):
        out = layer.conv.out_channels
        fan_in = int(np.prod(layer.weight_shape[1:]))
        weights[f"{layer.name}.weight"] = draw(*layer.weight_shape, scale=fan_in**-0.5)
        if layer.conv.norm:
            rows = condition_count(space, layer.slot)
            weights[f"{layer.name}.gamma"] = 1 + draw(out, scale=0.1)
            weights[f"{layer.name}.beta"] = draw(out, scale=0.1)
            weights[f"{layer.name}.mean"] = draw(rows, out, scale=0.05)
            weights[f"{layer.name}.log_std"] = draw(rows, out, scale=0.05)
        else:
            weights[f"{layer.name}.bias"] = draw(out, scale=0.1)
    final = int(space.widths[space.final_widths].max())
    weights["head.weight"] = draw(space.spec.outputs, final)
    weights["head.bias"] = draw(space.spec.outputs)
    return weights


@pytest.fixture(scope="session")
def make_pairs() -> Callable[[SearchSpace, int], np.ndarray]:
    """Makes what pairs of blocks of a space add to a table, at random."""

    def make(space: SearchSpace, seed: int) -> np.ndarray:
        blocks = int(space.first_choice[-1]) + 1
        pairs = np.random.default_rng(seed).uniform(-0.5, 0.5, (blocks, blocks))
        pairs[:, :-1][:, space.skips] = 0.0
        return pairs

    return make


@pytest.fixture(scope="session")
def make_bundle() -> Callable[[SpaceSpec, Path], Bundle]:
    """Writes a bundle with random weights to a folder and loads it back."""

    def make(spec: SpaceSpec, path: Path) -> Bundle:
        space = SearchSpace(spec)
        macs = SlotTable.of_macs(space, analytic_tables(space))
        # Accuracy that grows with MACs: from about 60 to 90 percent.
        full = float(macs.evaluate(space, space.full()[None])[0])
        accuracy = SlotTable(macs.values * (30 / full), macs.head * (30 / full) + 60)
        manifest = Manifest(
            format=1,
            name="toy",
            version="1",
            title="Random weights for tests",
            space=spec,
            input=InputSpec(
                name="x",
                shape=(spec.input_channels, *spec.input_size),
                rate_hz=50.0,
                channels=tuple(f"channel {index}" for index in range(spec.input_channels)),
                scale=tuple(1.0 + 0.5 * index for index in range(spec.input_channels)),
                description="Noise",
            ),
            output=OutputSpec(name="logits", labels=tuple(f"class {index}" for index in range(spec.outputs))),
            training=TrainingFacts(command="none", seed=0, duration_s=0.0, epochs=0, data="none", torch="none"),
            accuracy=Accuracy(full_percent=90.0, median_percent=75.0, smallest_percent=60.0, test_rows=1),
            licence="Apache-2.0",
            files={},
        )
        tables = AccuracyTables(percent=accuracy, error_points=1.0, kendall_tau=0.9, subnets=10)
        write_bundle(path, manifest, random_weights(space), tables, "# Random weights\n")
        return load_bundle(path)

    return make


@pytest.fixture(scope="session")
def small_bundle_folder(
    make_bundle: Callable[[SpaceSpec, Path], Bundle], small_spec: SpaceSpec, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Where the bundle of `small_spec` lies; who wants to spoil it takes a copy."""
    path = tmp_path_factory.mktemp("bundle") / "toy"
    make_bundle(small_spec, path)
    return path


@pytest.fixture(scope="session")
def small_bundle(small_bundle_folder: Path) -> Bundle:
    """A loaded bundle of `small_spec`."""
    return load_bundle(small_bundle_folder)


@pytest.fixture
def versions(small_bundle_folder: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Makes copies of the small bundle under other versions."""

    def make(version: str) -> Path:
        folder = tmp_path / version
        shutil.copytree(small_bundle_folder, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"version": version}))
        return folder

    return make


@pytest.fixture
def own_measuring_lock(socket_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile in this test, in whatever process, waits for nobody else's on this machine."""
    monkeypatch.setenv("TMPDIR", str(socket_folder))
    monkeypatch.setattr(tempfile, "tempdir", str(socket_folder))


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A folder whose path is short enough for the address of a socket, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="as-") as folder:
        yield Path(folder)


#: What toy subnets take and give.
TOY_MODEL = ModelSignature("toy", "1", "x", (2, 3), "logits", 3, ("low", "middle", "high"))


class ToySubnet:
    """Answers with the first row of each sample, times a factor that its name tells.

    Attributes:
        started: Released when a run begins.
        permits: Where it is held, each run takes one before it ends.
    """

    def __init__(self, factor: float = 1.0, *, held: bool = False, error: Exception | None = None) -> None:
        """Make one that computes at once, unless it is held, and raises `error` if there is one."""
        self.genome = np.zeros(1, dtype=np.int16)
        self.name = f"toy-{factor:g}"
        self.batch_sizes: tuple[int, ...] = (1, 2, 4, 8)
        self.started = threading.Semaphore(0)
        self.permits = threading.Semaphore(0)
        self._factor = factor
        self._held = held
        self._error = error

    def run(self, batch: Batch) -> Batch:
        """Compute, once that is permitted."""
        self.started.release()
        assert not self._held or self.permits.acquire(timeout=10)
        if self._error is not None:
            raise self._error
        return batch[:, 0] * np.float32(self._factor)


class RunningPlane:
    """A data plane that serves toy subnets in a thread of its own."""

    def __init__(self, endpoint: str, subnet: ToySubnet | None = None, **options: Any) -> None:
        """Bind and start; `options` are those of `DataPlane`, `model`, `pipeline`, `http`, and lanes `beside`."""
        self.endpoint = endpoint
        self.active = Active(subnet or ToySubnet())
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._claim = claim(endpoint, mode=DATA_MODE)
        model = options.pop("model", TOY_MODEL)
        make_curve: Callable[[zmq.Context[zmq.Socket[bytes]]], CurveListener] | None = options.pop("curve", None)
        self._curve = None if make_curve is None else make_curve(self._context)
        options["curve"] = self._curve
        self.lane = Lane(model, self.active, options.pop("pipeline", None))
        lanes = [self.lane, *options.pop("beside", ())]
        self.http: HttpServer | None = None
        if options.pop("http", False):
            models = [lane.model for lane in lanes]
            limits = options.get("limits", DEFAULT_LIMITS)
            self.http = HttpServer(self._context, "127.0.0.1:0", INPROC, models, limits)
        self.plane = DataPlane(self._context, self._claim, lanes, **({"idle_s": 0.02} | options))
        self.plane.bind()
        self._thread = threading.Thread(target=self.plane.run)
        self._thread.start()
        if self.http is not None:
            self.plane.count_too(self.http.refusals)
            self.http.start()

    def stop(self) -> None:
        """Stop as a daemon does; again does nothing."""
        self.plane.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()
        if self._curve is not None:
            self._curve.close()
        if self.http is not None:
            self.http.close()
        self._context.term()
        self._claim.release()


@pytest.fixture
def toy_subnet() -> type[ToySubnet]:
    """Makes toy subnets."""
    return ToySubnet


@pytest.fixture
def serve_toy(socket_folder: Path) -> Iterator[Callable[..., RunningPlane]]:
    """Starts data planes in `socket_folder` and stops them after the test."""
    with ExitStack() as planes:

        def start(subnet: ToySubnet | None = None, **options: Any) -> RunningPlane:
            plane = RunningPlane(f"ipc://{socket_folder}/infer.sock", subnet, **options)
            planes.callback(plane.stop)
            return plane

        yield start
