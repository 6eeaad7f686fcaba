"""Mixed-integer linear programs, and HiGHS to solve them: the only module that knows `highspy`.

`highspy` is imported when a program is solved, so that the API starts without it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from app.core.errors import SolverMissing
from app.core.optimize.problem import Watch

if TYPE_CHECKING:
    import highspy

# Tighter than HiGHS' own 1e-6: beside a large bound of a binary that would be a visible amount of money.
TOLERANCE = 1e-9
# HiGHS passes over factors of at most this size, with a warning; so do we, that a warning may mean something else.
SMALL_FACTOR = 1e-9
CONTINUOUS, INTEGER = 0, 1
# A program with more unknowns than this takes seconds before its first answer, in which HiGHS hardly looks at the time.
LARGE = 10_000
# The share of the time that is left which the first relaxation of a large program gets: its limit begins when it does,
# and what HiGHS does at its end is not limited at all.
FIRST_SHARE = 0.6
FIRST_S = 0.5
# Mending an answer is a linear program near its answer; it comes after the time is over.
MEND_S = 2.0


@dataclass(slots=True)
class Program:
    """Minimise cost x + offset subject to low <= x <= high and row_low <= rows x <= row_high, some x whole numbers.

    Rows are kept one after the other, as HiGHS takes them. `start` holds the whole numbers of a known answer.
    """

    cost: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    start: dict[int, float] = field(default_factory=dict)
    row_low: list[float] = field(default_factory=list)
    row_high: list[float] = field(default_factory=list)
    row_start: list[int] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    factor: list[float] = field(default_factory=list)
    offset: float = 0.0

    def column(self, high: float = inf, *, low: float = 0.0, cost: float = 0.0) -> int:
        """Add an unknown between `low` and `high` and return its number."""
        self.cost.append(cost)
        self.low.append(low)
        self.high.append(high)
        self.kind.append(CONTINUOUS)
        return len(self.cost) - 1

    def whole(self, high: float = 1.0, *, cost: float = 0.0, start: float = 0.0) -> int:
        """Add a whole number from 0 to `high`; one up to 1 is a decision."""
        number = self.column(high, cost=cost)
        self.kind[number] = INTEGER
        self.start[number] = start
        return number

    def row(self, terms: Iterable[tuple[int, float]], *, low: float = -inf, high: float = inf) -> int:
        """Add low <= sum of factor x column <= high and return its number; a column may come more than once.

        Factors that HiGHS does not take are left out: an order bounded by a crumb of cash is then no order.
        """
        factors: dict[int, float] = {}
        for number, factor in terms:
            factors[number] = factors.get(number, 0.0) + factor
        factors = {number: factor for number, factor in factors.items() if abs(factor) > SMALL_FACTOR}
        self.row_start.append(len(self.index))
        self.index += factors.keys()
        self.factor += factors.values()
        self.row_low.append(low)
        self.row_high.append(high)
        return len(self.row_low) - 1


@dataclass(frozen=True, slots=True)
class Stop:
    """When HiGHS stops: gaps to prove (absolute, and as a share of the objective), nodes, seconds, or as `watch` says.

    `watch` hears of the absolute gap times `share`.
    """

    absolute_gap: float
    relative_gap: float
    nodes: int
    seconds: float
    share: float = 1.0
    watch: Watch | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What HiGHS found: x (none when it found nothing), the bound it proved, nodes, whether no x can exist, seconds.

    `cut` says that time ended it.
    """

    x: Sequence[float] | None
    bound: float
    nodes: int
    infeasible: bool
    seconds: float
    cut: bool = False


def solve(program: Program, stop: Stop, *, warm: bool) -> Found:
    """Solve a program; `warm` starts from its `start`.

    What HiGHS lets pass within its tolerances is mended: with the whole numbers it chose rounded, the rest is solved
    once more as a linear program. One thread and a fixed seed, so that the same program gives the same answer as long
    as no time limit cuts it short. HiGHS gives up the interpreter's lock while it runs. Raises SolverMissing.
    """
    engine = _engine()
    passed = engine.passModel(_model(program))
    assert passed.name == "kOk", f"HiGHS takes the program as {passed.name}"
    for name, value in (
        ("mip_abs_gap", stop.absolute_gap),
        ("mip_rel_gap", stop.relative_gap),
        ("mip_max_nodes", stop.nodes),
        ("time_limit", stop.seconds),
    ):
        engine.setOptionValue(name, value)
    if warm:
        numbers = list(program.start)
        engine.setSolution(len(numbers), np.array(numbers, np.int32), np.array(list(program.start.values())))
    if len(program.cost) > LARGE:
        engine.setOptionValue("mip_heuristic_run_feasibility_jump", False)  # does not look at the time
        _limit_first(engine, stop.seconds)
    if stop.watch:
        _let_watch(engine, stop.watch, stop.share)
    engine.run()
    info = engine.getInfo()
    nodes, seconds = max(0, int(info.mip_node_count)), float(engine.getRunTime())
    if _ended_as(engine, "kInfeasible", "kUnboundedOrInfeasible"):
        return Found(None, inf, nodes, True, seconds)
    cut = _ended_as(engine, "kTimeLimit")
    has_answer = info.primal_solution_status == 2
    bound = float(info.mip_dual_bound) if INTEGER in program.kind else float(info.objective_function_value)
    if not has_answer:
        return Found(None, bound, nodes, False, seconds, cut)
    x = [float(value) for value in engine.getSolution().col_value]
    return Found(_mended(engine, program, x), bound, nodes, False, seconds, cut)


def _let_watch(engine: "highspy.Highs", watch: Watch, share: float) -> None:
    """Tell `watch` how far HiGHS is whenever it asks whether to go on."""

    def ask(event: Any) -> None:
        found = event.data_out
        gap = (found.mip_primal_bound - found.mip_dual_bound) * share
        if watch(max(0, int(found.mip_node_count)), gap if gap < inf else inf):
            event.data_in.user_interrupt = True

    engine.cbMipInterrupt.subscribe(ask)


def _limit_first(engine: "highspy.Highs", seconds: float) -> None:
    """Let the first relaxation end in time: HiGHS gives it all of the limit, whatever was spent before it."""

    def limit(event: Any) -> None:
        told = event.data_out
        share = max(0.0, seconds - told.running_time) * FIRST_SHARE
        if told.running_time < seconds / 2:  # the search stops where the limit is below what was spent
            share = max(share, told.running_time + FIRST_S)
        engine.setOptionValue("time_limit", share if told.mip_dual_bound == -inf else seconds)

    engine.cbMipInterrupt.subscribe(limit)


def is_installed() -> bool:
    """Return whether HiGHS can be asked at all."""
    try:
        import highspy  # noqa: F401
    except ImportError:
        return False
    return True


@cache
def version() -> str:
    """Return the version of HiGHS that would be asked, as its package tells it; empty where it is not installed."""
    try:
        return metadata.version("highspy")
    except metadata.PackageNotFoundError:
        return ""


def _engine() -> "highspy.Highs":
    try:
        import highspy
    except ImportError as error:
        raise SolverMissing(
            "this plan needs the solver HiGHS, which is not installed; install it: pip install 'steelyard[solver]'"
        ) from error
    engine: highspy.Highs = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in (
        ("output_flag", False),
        ("threads", 1),
        ("random_seed", 0),
        ("primal_feasibility_tolerance", TOLERANCE),
        ("dual_feasibility_tolerance", TOLERANCE),
        ("mip_feasibility_tolerance", TOLERANCE),
    ):
        engine.setOptionValue(name, value)
    return engine


def _model(program: Program) -> "highspy.HighsLp":
    import highspy

    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(program.cost), len(program.row_low)
    model.col_cost_, model.offset_ = np.array(program.cost), program.offset
    model.col_lower_, model.col_upper_ = np.array(program.low), np.array(program.high)
    model.row_lower_, model.row_upper_ = np.array(program.row_low), np.array(program.row_high)
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.num_col_, model.a_matrix_.num_row_ = model.num_col_, model.num_row_
    model.a_matrix_.start_ = np.array([*program.row_start, len(program.index)], np.int32)
    model.a_matrix_.index_ = np.array(program.index, np.int32)
    model.a_matrix_.value_ = np.array(program.factor)
    kinds = {CONTINUOUS: highspy.HighsVarType.kContinuous, INTEGER: highspy.HighsVarType.kInteger}
    model.integrality_ = [kinds[kind] for kind in program.kind]
    return model


def _mended(engine: "highspy.Highs", program: Program, x: list[float]) -> list[float]:
    """Return x with the whole numbers rounded and the rest solved again; x itself where that has no answer."""
    fixed = [number for number, kind in enumerate(program.kind) if kind == INTEGER]
    if not fixed:
        return x
    at = np.array([float(round(x[number])) for number in fixed])
    numbers = np.array(fixed, np.int32)
    engine.changeColsIntegrality(len(fixed), numbers, np.zeros(len(fixed), np.uint8))
    engine.changeColsBounds(len(fixed), numbers, at, at)
    engine.setOptionValue("time_limit", engine.getRunTime() + MEND_S)  # its clock runs on from the search
    engine.run()
    if not _ended_as(engine, "kOptimal"):
        return x
    return [float(value) for value in engine.getSolution().col_value]


def _ended_as(engine: "highspy.Highs", *names: str) -> bool:
    return engine.getModelStatus().name in names
