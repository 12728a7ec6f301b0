"""What an engine promises, and the one reference that a swap assigns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from adaspring.space import Genome

Batch = npt.NDArray[np.float32]


class Subnet(Protocol):
    """A subnet that is ready to answer frames.

    Attributes:
        genome: Its genome.
        name: Text form of the genome.
        batch_sizes: Sizes of batch that it was warmed for; see `warm_batches`.
    """

    genome: Genome
    name: str
    batch_sizes: tuple[int, ...]

    def run(self, batch: Batch) -> Batch:
        """Logits of a batch.

        Args:
            batch: Contiguous, shape ``(n, channels, *size)``.

        Returns:
            Shape ``(n, outputs)``.
        """


class Engine(Protocol):
    """Turns genomes into subnets that run.

    Attributes:
        name: With version and thread count, for example ``"onnxruntime-1.32.0-t1"``;
            latency tables are keyed by it.
    """

    name: str

    def prepare(self, genome: Genome) -> Prepared:
        """Assemble, load and warm a subnet.

        Raises:
            EngineError: If that is not possible; whatever ran before goes on.
        """


@dataclass(frozen=True, slots=True)
class Prepared:
    """A warmed subnet and what it took.

    Attributes:
        subnet: Ready to run.
        assemble_us: Slicing, folding and encoding, in microseconds.
        load_us: Building the session, in microseconds.
        warm_us: Runs before the first frame, in microseconds.
        weights_mib: What it holds beside the memory that any prepared subnet takes, in MiB.
    """

    subnet: Subnet
    assemble_us: float
    load_us: float
    warm_us: float
    weights_mib: float = 0.0


@dataclass(frozen=True, slots=True)
class Generation:
    """The subnet that answers frames, and the how-manieth it is since start."""

    number: int
    subnet: Subnet


class Active:
    """The active subnet: written by the control thread, read by the data thread.

    `current` is replaced by one reference assignment, which is atomic in CPython, so
    the data thread needs no lock and every frame is answered by exactly one subnet.
    """

    def __init__(self, subnet: Subnet) -> None:
        """Start with generation 1."""
        self.current = Generation(1, subnet)

    def publish(self, subnet: Subnet) -> Generation:
        """Make a prepared subnet the active one, from the next batch on."""
        generation = Generation(self.current.number + 1, subnet)
        self.current = generation
        return generation


def warm_batches(subnet: Subnet, shape: tuple[int, ...], sizes: Iterable[int]) -> None:
    """Warm a subnet for batches, beside whatever it answers meanwhile.

    Args:
        subnet: Prepared, and so warm for single frames.
        shape: Of one sample.
        sizes: Of the batches that it will be given.
    """
    for size in sorted(set(sizes) - set(subnet.batch_sizes)):
        warm(subnet, np.zeros((size, *shape), dtype=np.float32))
        subnet.batch_sizes = (*subnet.batch_sizes, size)


def warm(subnet: Subnet, batch: Batch) -> None:
    """Run a subnet once: the first run of a session allocates and packs, and takes several times as long as others.

    The next one, a frame's, is not quite steady yet; to run it in advance would keep the subnet back for longer than
    that frame gains by it.

    Args:
        subnet: The subnet.
        batch: A batch of the size that it will be given.
    """
    subnet.run(batch)
