"""Lookup tables over (slot, running width, choice), and what is worked out from them alone."""

from adaspring.tables.atlas import Atlas, build_atlas, nondominated
from adaspring.tables.correction import LatencyCorrection
from adaspring.tables.device import TABLES_VERSION, DeviceTables, TableFacts
from adaspring.tables.fit import Fit, fit_slot_table, kendall_tau
from adaspring.tables.slot_table import SlotTable
from adaspring.tables.viterbi import Paths, Stage, Trellis

__all__ = [
    "TABLES_VERSION",
    "Atlas",
    "DeviceTables",
    "Fit",
    "LatencyCorrection",
    "Paths",
    "SlotTable",
    "Stage",
    "TableFacts",
    "Trellis",
    "build_atlas",
    "fit_slot_table",
    "kendall_tau",
    "nondominated",
]
