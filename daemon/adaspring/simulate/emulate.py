"""A scenario carried over to a board: its cores, clocks, temperatures, memory and power from the device profile."""

from __future__ import annotations

import msgspec

from adaspring.boards import DeviceProfile
from adaspring.simulate.scenario import PowerModel, Scenario

#: A kernel that throttles gives the clock back this much below, in kelvins.
_HYSTERESIS_C = 5.0
#: Share of its greatest clock that a throttled processor keeps. Ours: boards go down in steps.
_THROTTLED_SHARE = 0.6


def on_board(scenario: Scenario, profile: DeviceProfile) -> Scenario:
    """The same day on another board; modelled, not measured.

    What warms the scenario's device to the brink of throttling warms the board to its own: rises are scaled by
    the room that each has above the hottest air of the day. A shortage of memory leaves as much as in the scenario.

    Args:
        scenario: The day.
        profile: Of the board.
    """
    cores = round(profile.processor.cores.value)
    hot_c = profile.thermal.hot_c.value
    air_c = max(celsius for _, celsius in scenario.thermal.ambient)
    warmer = max(hot_c - air_c, 0.0) / (scenario.thermal.throttle_c - air_c)
    clock_mhz = profile.processor.clock_mhz.value
    total_mib = profile.memory.size_mib.value
    idle_w = profile.power.idle_w.value
    replace = msgspec.structs.replace
    return replace(
        scenario,
        cores=cores,
        thermal=replace(
            scenario.thermal,
            idle_rise_c=scenario.thermal.idle_rise_c * warmer,
            load_rise_c=scenario.thermal.load_rise_c * warmer,
            throttle_c=hot_c,
            release_c=hot_c - _HYSTERESIS_C,
            clock_mhz=clock_mhz,
            throttled_mhz=clock_mhz * _THROTTLED_SHARE,
        ),
        memory=replace(
            scenario.memory,
            total_mib=total_mib,
            available_mib=total_mib * scenario.memory.available_mib / scenario.memory.total_mib,
            short=tuple(
                replace(short, available_mib=min(short.available_mib, total_mib)) for short in scenario.memory.short
            ),
        ),
        activity=tuple(replace(activity, load=min(activity.load, float(cores))) for activity in scenario.activity),
        power=PowerModel(idle_w=idle_w, load_w=profile.power.load_w.value - idle_w),
    )
