"""A subnet as tensors of torch, computed one kernel after the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from adaspring.engine.assemble import Assembled, FoldedLayer
from adaspring.engine.base import Batch
from adaspring.space import Block, Genome, Layer, run_block


class TorchSubnet:
    """A subnet as tensors on one device.

    Attributes:
        weights_mib: What its tensors hold, in MiB.
    """

    def __init__(self, genome: Genome, name: str, assembled: Assembled, device: torch.device) -> None:
        """Move the arrays of a subnet to a device."""
        self.genome = genome
        self.name = name
        self.batch_sizes: tuple[int, ...] = (1,)
        head = (assembled.head_weight, assembled.head_bias)
        arrays = [array for layer in assembled.layers.values() for array in (layer.weight, layer.bias)]
        self.weights_mib = sum(array.nbytes for array in (*arrays, *head)) / 2**20
        self._device = device
        self._blocks = assembled.blocks
        self._convolutions = {name: self._convolution(layer) for name, layer in assembled.layers.items()}
        self._head = self._move(head[0]), self._move(head[1])

    def _move(self, array: Batch) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _convolution(self, folded: FoldedLayer) -> Callable[[Tensor], Tensor]:
        """A layer with all but its input: what can be settled once is not worked out for every frame."""
        conv = folded.layer.conv
        return partial(
            functional.conv1d if len(conv.kernel) == 1 else functional.conv2d,
            weight=self._move(folded.weight),
            bias=self._move(folded.bias),
            stride=conv.stride,
            padding=tuple(extent // 2 for extent in conv.kernel),
            groups=conv.out_channels if conv.depthwise else 1,
        )

    def convolve(self, layer: Layer, x: Tensor) -> Tensor:
        """See `space.Arithmetic`."""
        x = self._convolutions[layer.name](x)
        return x.relu_() if layer.conv.relu else x

    def concatenate(self, parts: list[Tensor]) -> Tensor:
        """See `space.Arithmetic`."""
        return torch.cat(parts, dim=1)

    def add(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """See `space.Arithmetic`."""
        return x.add_(shortcut).relu_()

    @torch.inference_mode()
    def run(self, batch: Batch) -> Batch:
        """Logits of a batch; see `engine.base.Subnet`."""
        logits: Batch = self.forward(self._move(batch)).cpu().numpy()
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch that lies on the device."""
        x = self._enter(x)
        for block in self._blocks:
            x = self._leave(block, run_block(block, x, self))
        return functional.linear(self._pool(x), *self._head)

    def _enter(self, x: Tensor) -> Tensor:
        """What is done to a batch before the first block."""
        return x

    def _leave(self, _block: Block, x: Tensor) -> Tensor:
        """What is done to the output of a block."""
        return x

    def _pool(self, x: Tensor) -> Tensor:
        return x.flatten(start_dim=2).mean(dim=2)
