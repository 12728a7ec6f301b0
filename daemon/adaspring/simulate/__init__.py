"""A day in a minute: devices that are simulated, shown as live trees of files."""

from adaspring.simulate.day import DayReplay
from adaspring.simulate.device import DayState, SimulatedDevice
from adaspring.simulate.fit import BatteryFit, ThermalFit, fit_battery, fit_scenario, fit_temperature
from adaspring.simulate.scenario import DEFAULT_SCENARIO, Scenario, load_scenario
from adaspring.simulate.tree import DEFAULT_MODEL, LiveTree

__all__ = [
    "DEFAULT_MODEL",
    "DEFAULT_SCENARIO",
    "BatteryFit",
    "DayReplay",
    "DayState",
    "LiveTree",
    "Scenario",
    "SimulatedDevice",
    "ThermalFit",
    "fit_battery",
    "fit_scenario",
    "fit_temperature",
    "load_scenario",
]
