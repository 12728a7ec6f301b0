from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.errors import GenomeError, SpaceError
from adaspring.space import (
    SKIP,
    Layer,
    SearchSpace,
    SlotSpec,
    SpaceSpec,
    analytic_tables,
    lower,
    lower_all,
    lower_slot,
    run_block,
    subnet_costs,
)
from adaspring.space.spec import Shortcut
from adaspring.tables import SlotTable

RATIOS = st.lists(st.sampled_from([1.0, 0.75, 0.5, 0.25]), min_size=1, max_size=3, unique=True).map(tuple)
NAMES = ["conv", "fire", "dwsep", "inverted", "lowrank"]
OPERATORS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(tuple)
SHORTCUTS: st.SearchStrategy[Shortcut] = st.sampled_from(["none", "identity", "projection"])


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Small spaces with strides, skips, residual stages and every operator."""
    slots = []
    for index in range(draw(st.integers(1, 4))):
        stride = draw(st.integers(1, 2))
        shortcut = draw(SHORTCUTS)
        slots.append(
            SlotSpec(
                width=draw(st.sampled_from([8, 16, 24, 32])),
                kernel=draw(st.sampled_from([1, 3, 5])),
                stride=stride,
                operators=draw(OPERATORS),
                ratios=draw(RATIOS),
                skippable=index > 0 and stride == 1 and draw(st.booleans()),
                shortcut="none" if shortcut == "identity" and (index == 0 or stride > 1) else shortcut,
            )
        )
    return SearchSpace(SpaceSpec(input_channels=3, input_size=(17,), outputs=4, slots=tuple(slots)))


@given(spaces(), st.integers(0, 2**32 - 1))
def test_text_form_round_trips(space: SearchSpace, seed: int) -> None:
    """Every genome is found again from its text form."""
    for genome in space.random(np.random.default_rng(seed), 8):
        np.testing.assert_array_equal(genome, space.parse(space.format(genome)))


@given(spaces(), st.integers(0, 2**32 - 1))
def test_running_widths_follow_the_layers(space: SearchSpace, seed: int) -> None:
    """The running width at a slot is what the slots before it put out; an identity shortcut holds it."""
    for genome in space.random(np.random.default_rng(seed), 4):
        expected = [space.spec.input_channels]
        for slot, choice in zip(space.spec.slots, space.chosen(genome), strict=True):
            held = choice is SKIP or slot.shortcut == "identity"
            expected.append(expected[-1] if held else choice.width)
        assert expected == space.widths[space.running_widths(genome[None])[0]].tolist()


@given(spaces(), st.integers(0, 2**32 - 1))
def test_tables_add_up_to_what_the_layers_cost(space: SearchSpace, seed: int) -> None:
    """MACs and parameters from tables equal those counted layer by layer; every genome is legal."""
    genomes = space.random(np.random.default_rng(seed), 8)
    analytic = analytic_tables(space)
    counted = [subnet_costs(space, genome) for genome in genomes]
    assert [cost.macs for cost in counted] == SlotTable.of_macs(space, analytic).evaluate(space, genomes).tolist()
    parameters = SlotTable.of_parameters(space, analytic).evaluate(space, genomes)
    assert [cost.parameters for cost in counted] == parameters.tolist()
    peaks = analytic.activations[np.arange(space.slot_count), space.running_widths(genomes)[:, :-1], genomes[:, :-1]]
    assert [cost.peak_activation_elements for cost in counted] == peaks.max(axis=1).tolist()


@given(spaces(), st.integers(0, 2**32 - 1))
def test_every_subnet_is_a_slice_of_the_supernet(space: SearchSpace, seed: int) -> None:
    """No layer of a subnet is wider than the supernet's layer of that name."""
    shapes = {layer.name: layer.weight_shape for layer in lower_all(space)}
    for genome in space.random(np.random.default_rng(seed), 4):
        for layer in (layer for block in lower(space, genome) for layer in block.layers):
            own = (layer.channels.stop, *layer.weight_shape[1:])
            assert all(ours <= whole for ours, whole in zip(own, shapes[layer.name], strict=True))


def test_a_group_gives_each_operator_its_own_ratios() -> None:
    """The choices of a slot are those of its group, in the order of the recipe."""
    slots = (SlotSpec(width=32, group="lean"), SlotSpec(width=32, group="lean", skippable=True))
    groups = {"lean": {"conv": (1.0,), "fire": (0.5, 1.0), "dwsep": (0.25,)}}
    space = SearchSpace(SpaceSpec(input_channels=3, input_size=(8,), outputs=2, slots=slots, groups=groups))
    assert ["c32", "f32", "f16", "d8", "-"] == [str(choice) for choice in space.choices[1]]
    assert space.choices[0] == space.choices[1][:-1]


class Ledger:
    """Arithmetic that notes what each operation reads and writes; a tensor is its number."""

    def __init__(self, inputs: int) -> None:
        """Start with the input of a block, of so many elements."""
        self.sizes = [inputs]
        self.reads: list[tuple[int, ...]] = []

    def convolve(self, layer: Layer, x: int) -> int:
        """A layer."""
        return self._note((x,), layer.out_elements)

    def concatenate(self, parts: list[int]) -> int:
        """A copy."""
        return self._note(tuple(parts), sum(self.sizes[part] for part in parts))

    def add(self, x: int, shortcut: int) -> int:
        """Written over its first term."""
        self.reads.append((x, shortcut))
        self.sizes.append(0)
        return x

    def _note(self, reads: tuple[int, ...], size: int) -> int:
        self.reads.append(reads)
        self.sizes.append(size)
        return len(self.sizes) - 1

    def peak(self) -> int:
        """Most elements alive, each tensor from the operation that writes it to the last that reads it."""
        last = {tensor: index for index, reads in enumerate(self.reads) for tensor in reads}
        return max(
            sum(
                size
                for tensor, size in enumerate(self.sizes)
                if tensor <= index + 1 and last.get(tensor, index) >= index
            )
            for index in range(len(self.reads))
        )


@given(spaces(), st.integers(0, 2**32 - 1))
def test_the_peak_counts_every_tensor_alive(space: SearchSpace, seed: int) -> None:
    """The peak of a block is that of a brute count over its operations."""
    for genome in space.random(np.random.default_rng(seed), 4):
        for block in lower(space, genome):
            ledger = Ledger(block.layers[0].in_elements)
            run_block(block, 0, ledger)
            assert ledger.peak() == block.peak_elements


def test_a_channel_of_a_fire_module_keeps_its_meaning() -> None:
    """At any width the branches together hold the first channels of the slot, each once."""
    space = SearchSpace(
        SpaceSpec(
            input_channels=3,
            input_size=(8, 8),
            outputs=2,
            slots=(SlotSpec(width=64, operators=("fire",), ratios=(1.0, 0.75, 0.5, 0.25)),),
        )
    )
    for choice in space.choices[0]:
        _, branches = lower_slot(space, 0, "fire", 3, choice.width).steps
        held = [channel for layer in branches for channel in range(choice.width)[layer.channels]]
        assert list(range(choice.width)) == held


def test_extremes(small_spec: SpaceSpec) -> None:
    """The full subnet takes the first operator at full width, the smallest skips and narrows."""
    space = SearchSpace(small_spec)
    assert space.format(space.full()) == "f32:c16.c16.c32.c32"
    assert space.format(space.smallest()) == "f32:r8.-.r16.-"
    assert subnet_costs(space, space.smallest()).macs < subnet_costs(space, space.full()).macs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operators": ("konv",)}, "operators must be some of"),
        ({"operators": ("spatial",)}, "operators must be some of .* with 1-D input"),
        ({"operators": ("conv", "conv")}, "named once"),
        ({"group": "elite"}, "group 'elite' is not in groups; they are lean"),
        ({"group": "lean", "ratios": (0.5,)}, "takes operators and ratios from it"),
        ({"shortcut": "identity", "stride": 2}, "needs the shortcut 'projection'"),
        ({"kernel": 4}, "kernel must be odd"),
        ({"width": 4}, "width must be at least 8"),
        ({"stride": 0}, "stride must be positive"),
        ({"ratios": (1.5,)}, r"ratios must lie in \(0, 1\]"),
        ({"stride": 2, "skippable": True}, "a skip is an identity"),
    ],
)
def test_impossible_slots_are_refused(change: dict[str, object], message: str) -> None:
    """A slot that cannot exist is refused with its number and the key."""
    slots = (SlotSpec(width=16), SlotSpec(**{"width": 16, **change}))  # type: ignore[arg-type]
    with pytest.raises(SpaceError, match=f"slot 1: .*{message}"):
        SearchSpace(
            SpaceSpec(input_channels=3, input_size=(8,), outputs=2, slots=slots, groups={"lean": {"fire": (1.0,)}})
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size": ()}, "input_size"),
        ({"input_size": (4, 4, 4)}, "input_size"),
        ({"outputs": 0}, "outputs"),
        ({"slots": ()}, "at least one slot"),
        ({"slots": (SlotSpec(width=16, skippable=True),)}, "first slot"),
        ({"slots": (SlotSpec(width=16, shortcut="identity"),)}, "first slot"),
        ({"groups": {"lean": {"fir": (1.0,)}}}, "group 'lean': operators must be some of"),
        ({"groups": {"lean": {"fire": (2.0,)}}}, "group 'lean': ratios must lie in .* those of fire"),
        ({"precisions": ()}, "precisions"),
    ],
)
def test_impossible_spaces_are_refused(change: dict[str, object], message: str) -> None:
    """A space that cannot exist is refused with the key."""
    fields = {"input_channels": 3, "input_size": (8,), "outputs": 2, "slots": (SlotSpec(width=16),), **change}
    with pytest.raises(SpaceError, match=message):
        SearchSpace(SpaceSpec(**fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f32:c16.c16.c32", "is no genome of this space; one is 'f32:c16"),
        ("i8:c16.c16.c32.c32", "is no genome"),
        ("f32:-.c16.c32.c32", "slot 0 does not offer '-'"),
        ("f32:c16.c16.c33.c32", "slot 2 does not offer 'c33'; it offers c32 c16"),
        ("f32:c16.c16.cx.c32", "slot 2 does not offer"),
    ],
)
def test_wrong_text_is_refused(small_spec: SpaceSpec, text: str, message: str) -> None:
    """A text that names no subnet is refused, with what would."""
    with pytest.raises(GenomeError, match=message):
        SearchSpace(small_spec).parse(text)


@pytest.mark.parametrize("genes", [[0, 0, 0, 0], [99, 0, 0, 0, 0], [0, 0, 0, 0, 1], [-1, 0, 0, 0, 0]])
def test_wrong_genes_are_refused(small_spec: SpaceSpec, genes: list[int]) -> None:
    """A vector that names no subnet is refused."""
    with pytest.raises(GenomeError):
        SearchSpace(small_spec).check(genes)


def test_a_subnet_and_several_are_put_into_another_precision(small_spec: SpaceSpec) -> None:
    """Nothing but the precision changes, and what was given stays as it is."""
    space = SearchSpace(msgspec.structs.replace(small_spec, precisions=("float32", "int8")))
    many = space.random(np.random.default_rng(0), 20)
    before = many.copy()
    for genomes in (many, many[0]):
        changed = space.in_precision(genomes, "int8")
        assert np.all(changed[..., -1] == 1)
        np.testing.assert_array_equal(genomes[..., :-1], changed[..., :-1])
    np.testing.assert_array_equal(before, many)
