"""Sensors -> readings -> context."""

from adaspring.context.model import Context, Reading
from adaspring.context.monitor import Counters, Monitor
from adaspring.context.smoothing import Smoothing

__all__ = ["Context", "Counters", "Monitor", "Reading", "Smoothing"]
