"""The compression operators, each as the convolutions that it lowers to.

An operator is nothing but a recipe for a short chain of *steps*. The convolutions of
a step run side by side on the same input and their outputs are concatenated, so a
chain of single convolutions and the branches of a fire module are written alike.
Everything else follows from the steps: the parameters that the supernet allocates,
the slices that an engine takes, MACs, parameter and activation memory. A new operator
is therefore one function here and one entry in `OPERATORS`; neither engine nor
supernet learns of it.

Operators are numbered as in the paper (Liu et al., arXiv 2101.11800): delta 1 is
multi-branch channel merging (fire), delta 2 low-rank factorisation, delta 3
channel-wise scaling (the width given to every operator), delta 4 depth scaling (a
skip, which lowers to nothing).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

#: Extent or step along each spatial axis.
Extent: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Conv:
    """One primitive convolution, with what follows it before the next.

    Attributes:
        part: Name of the convolution inside its operator, for example ``"pointwise"``.
        in_channels: Channels read.
        out_channels: Channels written.
        kernel: Extent along each spatial axis; "same" padding of half of it.
        stride: Step along each spatial axis.
        depthwise: Whether each channel is filtered by itself (``groups == channels``).
        norm: Whether a batch norm follows, folded into weight and bias when assembled.
        relu: Whether a ReLU follows.
        first_channel: Channel of the slot that its first output stands for. Behind a
            concatenation a channel then means the same at every width.
    """

    part: str
    in_channels: int
    out_channels: int
    kernel: Extent
    stride: Extent
    depthwise: bool = False
    norm: bool = True
    relu: bool = True
    first_channel: int = 0


#: Convolutions that run side by side; the steps of an operator run one after the other.
Steps: TypeAlias = tuple[tuple[Conv, ...], ...]

#: ``(in_channels, out_channels, kernel, stride) -> steps``
Lowering = Callable[[int, int, Extent, Extent], Steps]


@dataclass(frozen=True, slots=True)
class Operator:
    """A compression operator.

    Attributes:
        name: As written in a recipe.
        letter: As written in the text form of a genome.
        summary: One line for a person.
        lower: The convolutions that stand for it.
        dimensions: Numbers of spatial axes that it is defined for.
    """

    name: str
    letter: str
    summary: str
    lower: Lowering
    dimensions: tuple[int, ...] = (1, 2)


def _conv(in_channels: int, out_channels: int, kernel: Extent, stride: Extent) -> Steps:
    return ((Conv("full", in_channels, out_channels, kernel, stride),),)


def _fire(in_channels: int, out_channels: int, kernel: Extent, stride: Extent) -> Steps:
    # The squeeze keeps the resolution: a stride in a 1x1 convolution would throw samples
    # away, and only the wider branch could see them.
    point = (1,) * len(kernel)
    squeezed, half = squeeze_of(out_channels), out_channels // 2
    return (
        (Conv("squeeze", in_channels, squeezed, point, point),),
        (
            Conv("narrow", squeezed, half, point, stride),
            Conv("wide", squeezed, out_channels - half, kernel, stride, first_channel=half),
        ),
    )


def squeeze_of(out_channels: int) -> int:
    """Channels between the squeeze and the branches of a fire module (Iandola et al., SqueezeNet, 2016).

    A quarter of the output, twice SqueezeNet's: an eighth of the narrow widths that a
    slot also offers would be fewer channels than a kernel computes at once.
    """
    return max(8, out_channels // 4)


def _depthwise_separable(in_channels: int, out_channels: int, kernel: Extent, stride: Extent) -> Steps:
    point = (1,) * len(kernel)
    return (
        (Conv("depthwise", in_channels, in_channels, kernel, stride, depthwise=True),),
        (Conv("pointwise", in_channels, out_channels, point, point),),
    )


#: Channels of an inverted residual's inside for each channel that it reads. MobileNetV2's six fit its thin
#: bottlenecks; at the widths that a convolution has, two keep the block under half of its cost.
EXPANSION = 2


def _inverted(in_channels: int, out_channels: int, kernel: Extent, stride: Extent) -> Steps:
    # Sandler et al., MobileNetV2, CVPR 2018. The ReLU behind the projection is the slot's own: what
    # the next slot reads is no negative number whichever operator made it.
    inside, point = EXPANSION * in_channels, (1,) * len(kernel)
    return (
        (Conv("widen", in_channels, inside, point, point),),
        (Conv("depthwise", inside, inside, kernel, stride, depthwise=True),),
        (Conv("project", inside, out_channels, point, point),),
    )


def rank_of(out_channels: int) -> int:
    """Rank of the low-rank factorisation of a convolution with ``out_channels`` outputs.

    A quarter keeps the two factors under half the cost of the full convolution for
    kernels of three and more.
    """
    return max(4, out_channels // 4)


def _low_rank(in_channels: int, out_channels: int, kernel: Extent, stride: Extent) -> Steps:
    # Linear between the factors: the pair stands for one matrix of rank `rank_of`,
    # as a truncated SVD of the full kernel gives it.
    rank, point = rank_of(out_channels), (1,) * len(kernel)
    return (
        (Conv("basis", in_channels, rank, kernel, stride, norm=False, relu=False),),
        (Conv("expand", rank, out_channels, point, point),),
    )


def _spatial(in_channels: int, out_channels: int, kernel: Extent, stride: Extent) -> Steps:
    # A column and a row instead of a square (Jaderberg et al., BMVC 2014), linear between
    # them: for the cost of the factorisation over channels the rank may be twice as high.
    rank = 2 * rank_of(out_channels)
    return (
        (Conv("column", in_channels, rank, (kernel[0], 1), (stride[0], 1), norm=False, relu=False),),
        (Conv("row", rank, out_channels, (1, kernel[1]), (1, stride[1])),),
    )


_ALL = (
    Operator("conv", "c", "full convolution", _conv),
    Operator("fire", "f", "fire module: squeeze, parallel expansions, merged", _fire),
    Operator("dwsep", "d", "depthwise-separable convolution (factorised)", _depthwise_separable),
    Operator("inverted", "i", "inverted residual: widened, filtered channel by channel, narrowed", _inverted),
    Operator("lowrank", "r", "convolution of low rank over its channels", _low_rank),
    Operator("spatial", "s", "convolution of low rank over its two axes", _spatial, dimensions=(2,)),
)

#: Operators by name.
OPERATORS = MappingProxyType({operator.name: operator for operator in _ALL})
