"""What the search is compared with; all of them see the same tables."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.callback import Callback
from pymoo.core.problem import Problem as PymooProblem
from pymoo.core.termination import NoTermination
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from adaspring.decide.problem import MEMORY, ROUNDING
from adaspring.space import Genome
from benchmarks.search_instances import BOUND, Instance

Array = npt.NDArray[np.float64]

#: Subnets of a generation of NSGA-II.
POPULATION = 100
#: An objective this close to the wanted one, relative to it, is as good.
AS_GOOD = 1e-6


def exact(instance: Instance) -> float | None:
    """The optimum by HiGHS: a shortest path through the trellis with side constraints; None where nothing fits."""
    problem, trellis = instance.problem, instance.problem.trellis
    edges = trellis.edge_count
    budgets = instance.budgets / problem.scale
    # The last variable is the peak of the activations.
    cost = np.append(problem.use @ (instance.weights * problem.scale), 0.0)
    index = np.arange(edges)
    ones = np.ones(edges)
    flow = sparse.csr_matrix(
        (np.concatenate([ones, -ones]), (np.concatenate([trellis.tail, trellis.tip]), np.concatenate([index, index]))),
        shape=(trellis.state_count, edges + 1),
    )
    source = np.zeros(trellis.state_count)
    source[0], source[-1] = 1.0, -1.0
    use = np.zeros((len(BOUND), edges + 1))
    use[:, :-1] = problem.use[:, BOUND].T
    use[BOUND.index(MEMORY), -1] = 1.0
    # No edge that is taken has activations above the peak.
    peaks = sparse.hstack([sparse.diags(problem.peak), -np.ones((edges, 1))], format="csr")
    result = milp(
        cost,
        integrality=np.append(ones, 0.0),
        bounds=Bounds(0.0, np.append(ones, np.inf)),
        constraints=[
            LinearConstraint(flow, source, source),
            LinearConstraint(use, -np.inf, budgets[list(BOUND)]),
            LinearConstraint(peaks, -np.inf, 0.0),
        ],
        options={"mip_rel_gap": 0.0},
    )
    return None if result.x is None else float(result.fun)


def greedy(instance: Instance) -> float | None:
    """From the full network: the change of one slot that frees most over budget for what it costs, then what gains."""
    space = instance.problem.trellis.space
    limits = space.choice_counts.tolist()
    current = space.full()
    objective, over = _judge(instance, current[None])
    for _ in range(2 * sum(limits)):
        neighbours = _neighbours(current, limits)
        objectives, overs = _judge(instance, neighbours)
        if over[0] > ROUNDING:
            freed = over[0] - overs
            rate = np.where(freed > 0, freed / np.maximum(objectives - objective[0], 1e-9), -np.inf)
            best = int(rate.argmax())
            if not np.isfinite(rate[best]):
                return None
        else:
            best = int(np.where(overs <= ROUNDING, objectives, np.inf).argmin())
            if overs[best] > ROUNDING or objectives[best] >= objective[0]:
                break
        current, objective, over = neighbours[best], objectives[best : best + 1], overs[best : best + 1]
    return float(objective[0]) if over[0] <= ROUNDING else None


def random(instance: Instance, draws: int, seed: int) -> float | None:
    """The best that fits of so many uniform subnets."""
    genomes = instance.problem.trellis.space.random(np.random.default_rng(seed), draws)
    objectives, over = _judge(instance, genomes)
    best = float(np.where(over <= ROUNDING, objectives, np.inf).min())
    return best if np.isfinite(best) else None


def nsga2(instance: Instance, wanted: float, limit_s: float, seed: int) -> float:
    """Seconds of CPU until NSGA-II finds a subnet that fits and is as good as wanted; the limit where it does not."""
    reached = _Reached(wanted + AS_GOOD * abs(wanted), limit_s)
    algorithm = NSGA2(
        pop_size=POPULATION,
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=0.9, eta=5.0, vtype=float, repair=RoundingRepair()),
        mutation=PM(eta=5.0, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    minimize(_AsPymoo(instance), algorithm, NoTermination(), seed=seed, callback=reached, verbose=False)
    return reached.after_s


class _AsPymoo(PymooProblem):  # type: ignore[misc] # pymoo carries no types
    def __init__(self, instance: Instance) -> None:
        space = instance.problem.trellis.space
        self._instance = instance
        super().__init__(
            n_var=space.slot_count, n_obj=1, n_ieq_constr=len(BOUND), xl=0, xu=space.choice_counts - 1, vtype=int
        )

    def _evaluate(self, x: npt.NDArray[np.int64], out: dict[str, Array]) -> None:
        genomes = np.zeros((len(x), self.n_var + 1), dtype=np.int16)
        genomes[:, :-1] = x
        out["F"] = _objective(self._instance, genomes)[:, None]
        out["G"] = _excess(self._instance, genomes)


class _Reached(Callback):  # type: ignore[misc] # pymoo carries no types
    """Ends a run that is as good as wanted, or has had its time. Both by CPU time: others may use the machine."""

    def __init__(self, wanted: float, limit_s: float) -> None:
        super().__init__()
        self._wanted = wanted
        self._limit_s = limit_s
        self._started_s = time.process_time()
        self.after_s = limit_s

    def notify(self, algorithm: NSGA2) -> None:
        best, taken_s = algorithm.opt, time.process_time() - self._started_s
        if len(best) and best[0].feas and best[0].F[0] <= self._wanted:
            self.after_s = min(self._limit_s, taken_s)
            algorithm.termination.terminate()
        elif taken_s >= self._limit_s:
            algorithm.termination.terminate()


def _objective(instance: Instance, genomes: Genome) -> Array:
    """Weighted use of genomes, shape ``(n,)``."""
    problem = instance.problem
    objective: Array = problem.of_genomes(genomes).use @ (instance.weights * problem.scale)
    return objective


def _excess(instance: Instance, genomes: Genome) -> Array:
    """By how much genomes exceed each bound budget, in ranges of the quantity, shape ``(n, 3)``."""
    problem = instance.problem
    excess: Array = problem.excess(problem.of_genomes(genomes), instance.budgets / problem.scale)[:, BOUND]
    return excess


def _judge(instance: Instance, genomes: Genome) -> tuple[Array, Array]:
    """Objective of each, and by how much it is over budget in all."""
    over: Array = np.maximum(_excess(instance, genomes), 0.0).sum(axis=1)
    return _objective(instance, genomes), over


def _neighbours(genome: Genome, limits: list[int]) -> Genome:
    changed = [np.repeat(genome[None], limit, axis=0) for limit in limits]
    for slot, block in enumerate(changed):
        block[:, slot] = np.arange(len(block))
    return np.concatenate(changed)
