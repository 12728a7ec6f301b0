"""Lookup tables over (slot, running width, choice), and what is worked out from them alone."""

from adaspring.tables.atlas import MEMBERS, Atlas, build_atlas, nondominated
from adaspring.tables.correction import EXPIRES_S, LatencyCorrection, Learned
from adaspring.tables.device import TABLES_VERSION, DeviceTables, TableFacts
from adaspring.tables.energy_correction import EnergyCorrection
from adaspring.tables.fit import Fit, fit_slot_table, kendall_tau
from adaspring.tables.residual import Evidence, ResidualFit, drift_percent, fit_residuals, remember
from adaspring.tables.slot_table import SlotTable
from adaspring.tables.viterbi import Paths, Stage, Trellis

__all__ = [
    "EXPIRES_S",
    "MEMBERS",
    "TABLES_VERSION",
    "Atlas",
    "DeviceTables",
    "EnergyCorrection",
    "Evidence",
    "Fit",
    "LatencyCorrection",
    "Learned",
    "Paths",
    "ResidualFit",
    "SlotTable",
    "Stage",
    "TableFacts",
    "Trellis",
    "build_atlas",
    "drift_percent",
    "fit_residuals",
    "fit_slot_table",
    "kendall_tau",
    "nondominated",
    "remember",
]
