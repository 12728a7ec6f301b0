"""Lookup tables over (slot, running width, choice)."""

from adaspring.tables.device import TABLES_VERSION, DeviceTables, TableFacts
from adaspring.tables.fit import Fit, fit_slot_table, kendall_tau
from adaspring.tables.slot_table import SlotTable
from adaspring.tables.viterbi import Paths, Stage, Trellis

__all__ = ["TABLES_VERSION", "DeviceTables", "Fit", "Paths", "SlotTable", "Stage", "TableFacts", "Trellis", "fit_slot_table", "kendall_tau"]
