"""A short day that tests may change."""

from __future__ import annotations

import pytest

SHORT_DAY = """
title = "Two hours"
seed = 3
span = { from_h = 8, to_h = 10 }
cores = 2

[battery]
capacity_mah = 1000
start_percent = 50
idle_percent_per_h = 10
load_percent_per_h = 20
charge_percent_per_h = 40
empty_v = 3.4
full_v = 4.2
plugged = [{ from_h = 9.5, to_h = 10 }]

[thermal]
idle_rise_c = 20
load_rise_c = 30
time_constant_s = 60
throttle_c = 80
release_c = 60
clock_mhz = 1000
throttled_mhz = 500
ambient = [[8, 20], [9, 40]]

[memory]
total_mib = 1000
available_mib = 600
short = [{ from_h = 9, to_h = 9.5, available_mib = 50, pressure_percent = 40 }]

[[activity]]
from_h = 8
name = "quiet"
events_hz = 5
load = 0

[[activity]]
from_h = 9
name = "burst"
events_hz = 100
load = 1
"""


@pytest.fixture
def short_day() -> str:
    """The text of a scenario whose figures make sums easy."""
    return SHORT_DAY
