from hypothesis import given
from hypothesis import strategies as st

from adaspring.space import SKIP, Genome, SearchSpace, SlotSpec, SpaceSpec, condition_count, condition_rows

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
        assert max(rows) < condition_count(SPACE, slot)


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


def test_the_first_slot_has_no_producer() -> None:
    """What it sees is the input, whatever is chosen later."""
    assert [0, 2] == condition_rows(SPACE, SPACE.full(), 0).tolist()
    assert 3 == condition_count(SPACE, 0)
