import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.errors import SpaceError
from adaspring.space import (
    SKIP,
    Genome,
    SearchSpace,
    SlotSpec,
    SpaceSpec,
    condition_count,
    condition_rows,
    joint_layers,
)

OPERATORS = ("conv", "lowrank")
RATIOS = (1.0, 0.5)
SPACE = SearchSpace(
    SpaceSpec(
        input_channels=3,
        input_size=(16,),
        outputs=2,
        slots=(
            SlotSpec(width=16, operators=OPERATORS, ratios=RATIOS),
            SlotSpec(width=16, operators=OPERATORS, ratios=RATIOS, skippable=True),
            SlotSpec(width=16, operators=OPERATORS, ratios=RATIOS, skippable=True, shortcut="identity"),
            SlotSpec(width=16, operators=OPERATORS, ratios=RATIOS, stride=2),
        ),
    )
)
GENOMES = st.tuples(*(st.integers(0, count - 1) for count in SPACE.choice_counts.tolist()), st.just(0)).map(SPACE.check)


KINDS = [{"joint": joint, "upstream": upstream} for joint in (False, True) for upstream in (False, True)]


def _rows(genome: Genome, slot: int, **kind: bool) -> list[int]:
    rows: list[int] = condition_rows(SPACE, genome, slot).of(range(condition_count(SPACE, slot, **kind))).tolist()
    return rows


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(genome=GENOMES)
def test_rows_exist_and_none_counts_twice(genome: Genome, kind: dict[str, bool]) -> None:
    """Every selected row lies inside the table, and they are distinct."""
    for slot in range(SPACE.slot_count):
        rows = _rows(genome, slot, **kind)
        assert len(rows) == len(set(rows))
        assert 0 == rows[0]
        assert max(rows) < condition_count(SPACE, slot, **kind)


@given(GENOMES, GENOMES)
def test_rows_follow_the_producers_and_the_own_width(first: Genome, second: Genome) -> None:
    """Two subnets select the same rows just if slot width, residual blocks and what began their stage agree."""
    slot = SPACE.slot_count - 1

    def facts(genome: Genome) -> tuple[object, ...]:
        chosen = SPACE.chosen(genome)
        producer = max(index for index in (0, 1) if chosen[index] is not SKIP)
        return chosen[slot].width, producer, chosen[producer], chosen[2]

    assert (facts(first) == facts(second)) == (_rows(first, slot) == _rows(second, slot))


@given(GENOMES, GENOMES)
def test_a_table_of_all_upstream_tells_any_two_apart(first: Genome, second: Genome) -> None:
    """Its rows are the same just if everything upstream and the slot's own width are."""
    slot = SPACE.slot_count - 1

    def facts(genome: Genome) -> tuple[object, ...]:
        chosen = SPACE.chosen(genome)
        return chosen[slot].width, *chosen[:slot]

    assert (facts(first) == facts(second)) == (_rows(first, slot, upstream=True) == _rows(second, slot, upstream=True))


@given(GENOMES)
def test_larger_tables_begin_as_smaller_ones_do(genome: Genome) -> None:
    """What is told besides stands behind: rows for what is far upstream, then one for own width and producer."""
    for slot in range(1, SPACE.slot_count):
        if SPACE.chosen(genome)[slot] is SKIP:
            continue
        plain, joint, far, both = (_rows(genome, slot, **kind) for kind in (KINDS[0], KINDS[2], KINDS[1], KINDS[3]))
        assert plain == joint[:-1] == far[: len(plain)]
        assert far == both[:-1]
        assert joint[-1] - condition_count(SPACE, slot) == both[-1] - condition_count(SPACE, slot, upstream=True) >= 0
        assert all(row >= condition_count(SPACE, slot) for row in far[len(plain) :])


def test_the_number_of_rows_tells_what_a_table_knows() -> None:
    """No two kinds of table of a slot are of one length, where they differ at all."""
    slots = [SlotSpec(width=16, operators=("conv",), ratios=(1.0, 0.5)) for _ in range(4)]
    space = SearchSpace(SpaceSpec(input_channels=3, input_size=(16,), outputs=2, slots=tuple(slots)))
    for each in (SPACE, space):
        for slot in range(2, each.slot_count):
            assert len(KINDS) == len({condition_count(each, slot, **kind) for kind in KINDS})


def test_a_table_of_another_space_is_refused() -> None:
    """The message says how many rows there might be."""
    with pytest.raises(SpaceError, match=r"a table of 2 rows belongs to another space: here it would have 3"):
        condition_rows(SPACE, SPACE.full(), 0).of(range(2))


def test_every_pair_of_width_and_producer_has_a_joint_row_of_its_own() -> None:
    """Two subnets share one just if own width and nearest block upstream agree."""
    slot = 1
    joint: dict[tuple[int, int], set[int]] = {}
    for before in range(SPACE.choice_counts[0]):
        for own in range(SPACE.choice_counts[1] - 1):
            genome = SPACE.check((before, own, 0, 0, 0))
            key = (before, SPACE.chosen(genome)[slot].width)
            joint.setdefault(key, set()).add(_rows(genome, slot, joint=True)[-1])
    assert {1} == {len(rows) for rows in joint.values()}
    assert len(joint) == len(set.union(*joint.values()))


def test_layers_that_read_what_the_own_width_decides_are_joint() -> None:
    """The second factor of a low rank, and in a residual block what reads all of the channels inside it."""
    operators = ("conv", "dwsep", "lowrank")
    slots = (
        SlotSpec(width=32, operators=operators, ratios=RATIOS),
        SlotSpec(width=32, operators=operators, ratios=RATIOS, shortcut="identity"),
    )
    found = joint_layers(SearchSpace(SpaceSpec(input_channels=3, input_size=(16,), outputs=2, slots=slots)))
    second = {"conv.second.full", "dwsep.second.pointwise", "lowrank.second.basis", "lowrank.second.expand"}
    expected = {"slots.0.lowrank.expand", "slots.1.lowrank.first.expand", *(f"slots.1.{name}" for name in second)}
    assert expected == found


def test_the_first_slot_has_no_producer() -> None:
    """What it sees is the input, whatever is chosen later."""
    assert [0, 2] == _rows(SPACE.full(), 0)
    assert 3 == condition_count(SPACE, 0)
