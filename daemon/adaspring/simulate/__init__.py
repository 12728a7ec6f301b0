"""A day in a minute: devices that are simulated, shown as live trees of files."""

from adaspring.simulate.boardtree import BoardTree, board_trees, load_board_tree
from adaspring.simulate.day import DayReplay
from adaspring.simulate.device import DayState, SimulatedDevice
from adaspring.simulate.emulate import on_board
from adaspring.simulate.fit import BatteryFit, ThermalFit, fit_battery, fit_scenario, fit_temperature
from adaspring.simulate.scenario import DEFAULT_SCENARIO, PowerModel, Scenario, load_scenario, scenarios
from adaspring.simulate.tree import DEFAULT_MODEL, LiveTree

__all__ = [
    "DEFAULT_MODEL",
    "DEFAULT_SCENARIO",
    "BatteryFit",
    "BoardTree",
    "DayReplay",
    "DayState",
    "LiveTree",
    "PowerModel",
    "Scenario",
    "SimulatedDevice",
    "ThermalFit",
    "board_trees",
    "fit_battery",
    "fit_scenario",
    "fit_temperature",
    "load_board_tree",
    "load_scenario",
    "on_board",
    "scenarios",
]
