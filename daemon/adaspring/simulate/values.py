"""A state of the device in the units and formats of the kernel, by the names that board trees use."""

from __future__ import annotations

from adaspring.simulate.device import DayState

_FULL = 100.0
#: A part of the chip that computes less is that much cooler than the processor, in kelvins.
_COOLER_C = 1.5
#: What the rails of a board tree that do not change draw, in watts; the changing one takes the rest.
_STEADY_W = 6.2
#: Share of the board's power that its processor rail takes.
_CORE_SHARE = 0.3
#: The core rail of a Raspberry Pi 5: its voltage, and what the other rails of the tree draw.
_CORE_V, _OTHER_RAILS_W = 0.8, 1.0


def sensor_values(state: DayState, *, model: str, busy_ticks: float, idle_ticks: float) -> dict[str, object]:
    """Every value that a tree may ask for.

    Args:
        state: The device.
        model: What the device tree calls it, where the tree leaves that open.
        busy_ticks: Clock ticks that its cores were busy since boot.
        idle_ticks: And idle.
    """
    battery_w = state.current_ma * state.voltage_v / 1e3
    return {
        "model": model,
        **_battery(state, battery_w),
        **_power(state),
        "plugged": f"{state.plugged:d}",
        "temperature_mc": round(state.temperature_c * 1e3),
        "cooler_mc": round((state.temperature_c - _COOLER_C) * 1e3),
        "full_khz": round(state.full_clock_mhz * 1e3),
        "cap_khz": round(state.clock_mhz * 1e3),
        "cores": " ".join(str(core) for core in range(state.cores)),
        "throttled_hex": f"{_throttled_word(state):x}",
        "undervoltage": f"{state.undervoltage:d}",
        "over_current_events": state.over_current_events,
        "gpu_permille": 0,
        "memory_total_kib": round(state.memory_total_mib * 1024),
        # About half of what can be had is not in use for caches either.
        "memory_free_kib": round(state.memory_available_mib * 512),
        "memory_available_kib": round(state.memory_available_mib * 1024),
        "pressure_percent": f"{state.memory_pressure_percent:.2f}",
        "full_pressure_percent": f"{state.memory_pressure_percent / 2:.2f}",
        "load_average": f"{state.cpu_percent / 100 * state.cores:.2f}",
        "busy_ticks": f"{busy_ticks:.0f}",
        "idle_ticks": f"{idle_ticks:.0f}",
    }


def _battery(state: DayState, battery_w: float) -> dict[str, object]:
    full_uah = round(state.capacity_mah * 1e3)
    full_uwh = round(state.capacity_mah * state.voltage_v * 1e3)
    status = "Discharging"
    if state.plugged:
        status = "Charging" if state.battery_percent < _FULL else "Full"
    return {
        "battery_status": status,
        "battery_percent": f"{state.battery_percent:.0f}",
        "charge_full_uah": full_uah,
        "charge_now_uah": round(full_uah * state.battery_percent / 100),
        "energy_full_uwh": full_uwh,
        "energy_now_uwh": round(full_uwh * state.battery_percent / 100),
        "battery_ua": round(state.current_ma * 1e3),
        "battery_ma": round(state.current_ma),
        "battery_uv": round(state.voltage_v * 1e6),
        "battery_mv": round(state.voltage_v * 1e3),
        "battery_uw": round(abs(battery_w) * 1e6),
    }


def _power(state: DayState) -> dict[str, object]:
    core_w = _CORE_SHARE * state.power_w
    return {
        "board_mw": round(state.power_w * 1e3),
        "at_5v_ma": round(state.power_w / 5 * 1e3),
        "at_20v_ma": round(max(state.power_w - _STEADY_W, 0.0) / 20 * 1e3),
        "core_mw": round(core_w * 1e3),
        "core_ma": round(core_w / 5 * 1e3),
        "core_a": f"{max(state.power_w - _OTHER_RAILS_W, 0.0) / _CORE_V:.8f}",
    }


def _throttled_word(state: DayState) -> int:
    """As ``vcgencmd get_throttled`` counts: 0 undervoltage, 1 capped, 2 throttled; the same since boot from 16 on."""
    slowed = state.undervoltage or state.throttled
    now = state.undervoltage << 0 | slowed << 1 | slowed << 2
    slowed_ever = state.undervoltage_ever or state.throttled_ever
    ever = state.undervoltage_ever << 0 | slowed_ever << 1 | slowed_ever << 2
    return int(ever << 16 | now)
