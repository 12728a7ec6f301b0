"""Genome -> a subnet that runs: slice, fold, assemble, warm, swap."""

from adaspring.engine.base import Active, Engine, Generation, Prepared, Subnet, warm_batches
from adaspring.engine.beside import Beside, YieldingThread, here
from adaspring.engine.cache import SubnetCache
from adaspring.engine.select import EngineChoice, make_engine

__all__ = [
    "Active",
    "Beside",
    "Engine",
    "EngineChoice",
    "Generation",
    "Prepared",
    "Subnet",
    "SubnetCache",
    "YieldingThread",
    "here",
    "make_engine",
    "warm_batches",
]
