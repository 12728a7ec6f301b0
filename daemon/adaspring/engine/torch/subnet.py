"""A subnet as tensors of torch, computed one kernel after the other."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from adaspring.engine.assemble import Assembled
from adaspring.engine.base import Batch
from adaspring.space import Block, Genome, Layer, run_block


class TorchSubnet:
    """A subnet as tensors on one device."""

    def __init__(self, genome: Genome, name: str, assembled: Assembled, device: torch.device) -> None:
        """Move the arrays of a subnet to a device."""
        self.genome = genome
        self.name = name
        self.batch_sizes: tuple[int, ...] = (1,)
        self._device = device
        self._blocks = assembled.blocks
        self._layers = {
            name: (self._move(layer.weight), self._move(layer.bias)) for name, layer in assembled.layers.items()
        }
        self._head = self._move(assembled.head_weight), self._move(assembled.head_bias)

    def _move(self, array: Batch) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def convolve(self, layer: Layer, x: Tensor) -> Tensor:
        """See `space.Arithmetic`."""
        conv = layer.conv
        operation = functional.conv1d if len(conv.kernel) == 1 else functional.conv2d
        padding = [extent // 2 for extent in conv.kernel]
        groups = conv.out_channels if conv.depthwise else 1
        x = operation(x, *self._layers[layer.name], stride=conv.stride, padding=padding, groups=groups)
        return functional.relu_(x) if conv.relu else x

    def concatenate(self, parts: list[Tensor]) -> Tensor:
        """See `space.Arithmetic`."""
        return torch.cat(parts, dim=1)

    def add(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """See `space.Arithmetic`."""
        return functional.relu_(x.add_(shortcut))

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
