"""Training over several processes: rows are shared out, gradients averaged.

Every process draws the same batch and the same subnets from the same seeds, runs its
share of the rows through them, and averages its gradients with the others, as
DistributedDataParallel does. That wrapper itself wants a module whose every parameter takes part in each
step, which is what a supernet is not. Batch norms are computed over the rows of all
processes, so that several learn what one would.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed
from torch.distributed.nn import functional as collective

from adaspring.errors import WorkbenchError
from adaspring.space import Layer
from adaspring.workbench.supernet import apply_statistics, batch_norm, log_deviation


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of one training.

    Attributes:
        rank: Number of this one.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes checkpoints and speaks."""
        return self.rank == 0

    def check(self, **rows: int) -> None:
        """Refuse numbers of rows that cannot be shared out evenly.

        Raises:
            WorkbenchError: With the key of the recipe.
        """
        for key, count in rows.items():
            if count % self.size:
                raise WorkbenchError(f"{key} = {count} cannot be shared out evenly among {self.size} processes")

    def share(self, x: Tensor) -> Tensor:
        """The rows of this process: every `size`-th."""
        return x[self.rank :: self.size]

    def average(self, tensors: list[Tensor]) -> None:
        """Average tensors over all processes, in place and in one message."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.size
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def agreed(self, value: float) -> float:
        """What the leading process says, so that all end at the same epoch."""
        if self.size == 1:
            return value
        said = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(said, src=0)
        return float(said)

    def batch_norm(self, layer: Layer, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Normalise with the statistics of the batch, over the rows of all processes."""
        if self.size == 1:
            return batch_norm(layer, x, gamma, beta)
        axes = (0, *range(2, x.ndim))
        moments = torch.stack([x.float().mean(dim=axes), x.float().square().mean(dim=axes)])
        mean, square = collective.all_reduce(moments) / self.size  # type: ignore[no-untyped-call]
        return apply_statistics(x, gamma, beta, mean, log_deviation((square - mean.square()).clamp_min(0.0)))


@contextmanager
def team() -> Iterator[Team]:
    """The team that `torchrun` started, or this process alone.

    Yields:
        The team, its connections open.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team()
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
