"""Genome -> a subnet that runs: slice, fold, assemble, warm, swap."""

from adaspring.engine.base import Active, Engine, Generation, Prepared, Subnet, warm_batches
from adaspring.engine.beside import Beside, NiceThread, here
from adaspring.engine.cache import SubnetCache
from adaspring.engine.select import EngineChoice, make_engine

__all__ = [
    "Active",
    "Beside",
    "Engine",
    "EngineChoice",
    "Generation",
    "NiceThread",
    "Prepared",
    "Subnet",
    "SubnetCache",
    "here",
    "make_engine",
    "warm_batches",
]
