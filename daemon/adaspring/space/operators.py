"""The compression operators, each as the convolutions that it lowers to.

An operator is nothing but a recipe for a short chain of primitive convolutions.
Everything else follows from that chain: the parameters that the supernet
allocates, the slices that an engine takes, MACs, parameter and activation
memory. A new operator is therefore one function here and one entry in
`OPERATORS`; neither engine nor supernet learns of it.

Operator names follow the paper (Liu et al., arXiv 2101.11800): delta 2 is
low-rank factorisation, delta 3 channel-wise scaling (the width given to every
operator), delta 4 depth scaling (a skip, which lowers to nothing).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Conv:
    """One primitive convolution, with what follows it before the next.

    Attributes:
        part: Name of the convolution inside its operator, for example ``"pointwise"``.
        in_channels: Channels read.
        out_channels: Channels written.
        kernel: Extent along every spatial axis; "same" padding of ``kernel // 2``.
        stride: Step along every spatial axis.
        depthwise: Whether each channel is filtered by itself (``groups == channels``).
        norm: Whether a batch norm follows, folded into weight and bias when assembled.
        relu: Whether a ReLU follows.
    """

    part: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    depthwise: bool = False
    norm: bool = True
    relu: bool = True


#: ``(in_channels, out_channels, kernel, stride) -> convolutions``
Lowering = Callable[[int, int, int, int], tuple[Conv, ...]]


@dataclass(frozen=True, slots=True)
class Operator:
    """A compression operator.

    Attributes:
        name: As written in a recipe.
        letter: As written in the text form of a genome.
        summary: One line for a person.
        lower: The convolutions that stand for it.
    """

    name: str
    letter: str
    summary: str
    lower: Lowering


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int) -> tuple[Conv, ...]:
    return (Conv("full", in_channels, out_channels, kernel, stride),)


def _depthwise_separable(in_channels: int, out_channels: int, kernel: int, stride: int) -> tuple[Conv, ...]:
    return (
        Conv("depthwise", in_channels, in_channels, kernel, stride, depthwise=True),
        Conv("pointwise", in_channels, out_channels, 1, 1),
    )


def rank_of(out_channels: int) -> int:
    """Rank of the low-rank factorisation of a convolution with ``out_channels`` outputs.

    A quarter keeps the two factors under half the cost of the full convolution for
    kernels of three and more.
    """
    return max(4, out_channels // 4)


def _low_rank(in_channels: int, out_channels: int, kernel: int, stride: int) -> tuple[Conv, ...]:
    # Linear between the factors: the pair stands for one matrix of rank `rank_of`,
    # as a truncated SVD of the full kernel gives it.
    rank = rank_of(out_channels)
    return (
        Conv("basis", in_channels, rank, kernel, stride, norm=False, relu=False),
        Conv("expand", rank, out_channels, 1, 1),
    )


_ALL = (
    Operator("conv", "c", "full convolution", _conv),
    Operator("dwsep", "d", "depthwise-separable convolution (factorised)", _depthwise_separable),
    Operator("lowrank", "r", "low-rank factorised convolution", _low_rank),
)

#: Operators by name.
OPERATORS = MappingProxyType({operator.name: operator for operator in _ALL})
