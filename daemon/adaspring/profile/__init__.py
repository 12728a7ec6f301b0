"""On the device: whole subnets timed in the engine, tables fitted to them."""

from adaspring.profile.machine import measuring, pause_while_measured
from adaspring.profile.measure import PERCENTILE, Timings, time_all, time_group
from adaspring.profile.profiler import (
    Plan,
    correct_tables,
    energy_table,
    estimate_tables,
    profile_bundle,
    with_atlas,
)
from adaspring.profile.store import corrected_path, load_tables, peek_tables, replace_file, save_tables, tables_path

__all__ = [
    "PERCENTILE",
    "Plan",
    "Timings",
    "correct_tables",
    "corrected_path",
    "energy_table",
    "estimate_tables",
    "load_tables",
    "measuring",
    "pause_while_measured",
    "peek_tables",
    "profile_bundle",
    "replace_file",
    "save_tables",
    "tables_path",
    "time_all",
    "time_group",
    "with_atlas",
]
