from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.errors import GenomeError, SpaceError
from adaspring.space import (
    SKIP,
    SearchSpace,
    SlotSpec,
    SpaceSpec,
    analytic_tables,
    lower,
    lower_all,
    subnet_costs,
)
from adaspring.tables import SlotTable

RATIOS = st.lists(st.sampled_from([1.0, 0.75, 0.5, 0.25]), min_size=1, max_size=3, unique=True).map(tuple)
OPERATORS = st.lists(st.sampled_from(["conv", "dwsep", "lowrank"]), min_size=1, max_size=3, unique=True).map(tuple)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Small spaces with strides, skips and every operator."""
    slots = []
    for index in range(draw(st.integers(1, 4))):
        stride = draw(st.integers(1, 2))
        slots.append(
            SlotSpec(
                width=draw(st.sampled_from([8, 16, 24, 32])),
                kernel=draw(st.sampled_from([1, 3, 5])),
                stride=stride,
                operators=draw(OPERATORS),
                ratios=draw(RATIOS),
                skippable=index > 0 and stride == 1 and draw(st.booleans()),
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
    """The running width at a slot is what the last slot that was not skipped put out."""
    for genome in space.random(np.random.default_rng(seed), 4):
        expected = [space.spec.input_channels]
        for choice in space.chosen(genome):
            expected.append(expected[-1] if choice is SKIP else choice.width)
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


@given(spaces(), st.integers(0, 2**32 - 1))
def test_every_subnet_is_a_slice_of_the_supernet(space: SearchSpace, seed: int) -> None:
    """No layer of a subnet is wider than the supernet's layer of that name."""
    shapes = {layer.name: layer.weight_shape for layer in lower_all(space)}
    for genome in space.random(np.random.default_rng(seed), 4):
        for layer in lower(space, genome):
            assert all(own <= whole for own, whole in zip(layer.weight_shape, shapes[layer.name], strict=True))


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
        SearchSpace(SpaceSpec(input_channels=3, input_size=(8,), outputs=2, slots=slots))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size": ()}, "input_size"),
        ({"input_size": (4, 4, 4)}, "input_size"),
        ({"outputs": 0}, "outputs"),
        ({"slots": ()}, "at least one slot"),
        ({"slots": (SlotSpec(width=16, skippable=True),)}, "first slot"),
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
