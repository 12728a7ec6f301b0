import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adaspring.space import (
    SKIP,
    Genome,
    SearchSpace,
    SlotSpec,
    SpaceSpec,
    condition_count,
    condition_rows,
    held_rows,
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


@given(GENOMES)
def test_rows_exist_and_none_counts_twice(genome: Genome) -> None:
    """Every selected row lies inside the table, and they are distinct."""
    for slot in range(SPACE.slot_count):
        rows = condition_rows(SPACE, genome, slot).tolist()
        assert len(rows) == len(set(rows))
        assert 0 == rows[0]
        assert max(rows) < condition_count(SPACE, slot, joint=True)


@given(GENOMES, GENOMES)
def test_rows_follow_the_producers_and_the_own_width(first: Genome, second: Genome) -> None:
    """Two subnets select the same rows just if slot width, residual blocks and what began their stage agree."""
    slot = SPACE.slot_count - 1

    def facts(genome: Genome) -> tuple[object, ...]:
        chosen = SPACE.chosen(genome)
        producer = max(index for index in (0, 1) if chosen[index] is not SKIP)
        return chosen[slot].width, producer, chosen[producer], chosen[2]

    same = condition_rows(SPACE, first, slot).tolist() == condition_rows(SPACE, second, slot).tolist()
    assert (facts(first) == facts(second)) == same


@given(GENOMES)
def test_a_table_without_joint_rows_is_asked_for_none(genome: Genome) -> None:
    """Of the rows that apply, a table holds all or all but the last, and the last names own width and producer."""
    for slot in range(1, SPACE.slot_count):
        if SPACE.chosen(genome)[slot] is SKIP:
            continue
        rows = condition_rows(SPACE, genome, slot)
        short, long = (np.zeros((condition_count(SPACE, slot, joint=joint), 1)) for joint in (False, True))
        assert rows.tolist() == held_rows(rows, long).tolist()
        assert rows[:-1].tolist() == held_rows(rows, short).tolist()
        assert rows[-1] >= len(short)


def test_every_pair_of_width_and_producer_has_a_joint_row_of_its_own() -> None:
    """Two subnets share one just if own width and nearest block upstream agree."""
    slot = 1
    joint: dict[tuple[int, int], set[int]] = {}
    for before in range(SPACE.choice_counts[0]):
        for own in range(SPACE.choice_counts[1] - 1):
            genome = SPACE.check((before, own, 0, 0, 0))
            key = (before, SPACE.chosen(genome)[slot].width)
            joint.setdefault(key, set()).add(int(condition_rows(SPACE, genome, slot)[-1]))
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
    assert [0, 2] == condition_rows(SPACE, SPACE.full(), 0).tolist()
    assert 3 == condition_count(SPACE, 0)
