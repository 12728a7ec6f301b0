"""The search space as data: slots, choices, genomes, and what they lower to."""

from adaspring.space.conditions import Conditions, condition_count, condition_rows, joint_layers, statistics_count
from adaspring.space.costs import AnalyticTables, SubnetCosts, analytic_tables, subnet_costs
from adaspring.space.lowering import (
    HEAD,
    Arithmetic,
    Block,
    Layer,
    lower,
    lower_all,
    lower_slot,
    max_input_width,
    run_block,
)
from adaspring.space.operators import OPERATORS, Conv, Operator
from adaspring.space.space import SKIP, Choice, Genome, SearchSpace
from adaspring.space.spec import SlotSpec, SpaceSpec

__all__ = [
    "HEAD",
    "OPERATORS",
    "SKIP",
    "AnalyticTables",
    "Arithmetic",
    "Block",
    "Choice",
    "Conditions",
    "Conv",
    "Genome",
    "Layer",
    "Operator",
    "SearchSpace",
    "SlotSpec",
    "SpaceSpec",
    "SubnetCosts",
    "analytic_tables",
    "condition_count",
    "condition_rows",
    "joint_layers",
    "lower",
    "lower_all",
    "lower_slot",
    "max_input_width",
    "run_block",
    "statistics_count",
    "subnet_costs",
]
