"""int8 on torch, emulated: the answers of an int8 engine, at the cost of float32.

torch has no int8 convolution that our boards gain by. A bundle with an int8 choice
still works here: weights are those that the codes stand for, and every activation is
rounded to its grid. Measured tables then say that int8 is no quicker on this engine,
and the search does not choose it for speed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from adaspring.engine.assemble import Assembled, FoldedLayer
from adaspring.engine.quantize import CODES, Grid, QuantizedSubnet
from adaspring.engine.torch.subnet import TorchSubnet
from adaspring.space import Block, Genome, Layer


class EmulatedSubnet(TorchSubnet):
    """An int8 subnet computed in float32."""

    def __init__(self, genome: Genome, name: str, subnet: QuantizedSubnet, device: torch.device) -> None:
        """Turn codes back into weights."""
        layers = {
            key: FoldedLayer(
                layer.layer, layer.codes * layer.scale.reshape(-1, *(1,) * (layer.codes.ndim - 1)), layer.bias
            )
            for key, layer in subnet.layers.items()
        }
        super().__init__(genome, name, Assembled(subnet.blocks, layers, subnet.head_weight, subnet.head_bias), device)
        self._subnet = subnet
        axes = len(subnet.blocks[0].layers[0].in_size)
        self._channel_scale = self._move(subnet.channel_scale).reshape(-1, *(1,) * axes)

    def convolve(self, layer: Layer, x: Tensor) -> Tensor:
        """See `space.Arithmetic`."""
        return _rounded(super().convolve(layer, x), self._subnet.layers[layer.name].grid)

    def _enter(self, x: Tensor) -> Tensor:
        return _rounded(x * self._channel_scale, self._subnet.input)

    def _leave(self, block: Block, x: Tensor) -> Tensor:
        return _rounded(x, self._subnet.grid_behind(block))

    def _pool(self, x: Tensor) -> Tensor:
        return _rounded(super()._pool(x), self._subnet.pooled)


def _rounded(x: Tensor, grid: Grid) -> Tensor:
    codes = torch.round(x / grid.scale) + grid.zero
    return grid.scale * (codes.clamp_(0, CODES) - grid.zero)
