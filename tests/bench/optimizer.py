"""`python -m tests.bench.optimizer`: how good and how fast the optimiser is, on a file of problems or on our own.

    --instances FILE    solve the problems of a file (tests/bench/instances.py knows two formats)
    --out FILE          write id, status, objective, bound, nodes, ms and trades of each as a JSON list
    --json              print that list instead of the table
    --interpreted       without numba, even where it is installed
    --seconds N         at most so many for one problem (30); the search stops by nodes long before
    --no-highs          leave out HiGHS; else it solves the same problems in the same run, to a gap of 1e-4
    --figures           our own families of problems against the figures to reach

ms is the median of a few runs, arrays in and orders out, for what the search solves, and of the whole for the rest.
Every answer is judged by the rule of the file, apart from the optimiser's own judge.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, isfinite
from pathlib import Path
from typing import Any

from app.core.optimize import arrays, highs, kernels, search, solve
from app.core.optimize.answers import gap_of
from app.core.optimize.highs import Stop
from app.core.optimize.linear import Encoding
from app.core.optimize.problem import Limits, Problem, Solution, SolveStatus, Watch
from tests.bench.instances import Instance, read, trades_of
from tests.bench.judge_file import judge

ROUNDS = 5
SECONDS = 30.0
# A problem that takes longer is run once; HiGHS is stopped after as much, and the ratio is then a lower bound.
LONG_S = 1.0
HIGHS_S = 10.0
HIGHS_GAP = 1e-4


@dataclass(frozen=True)
class Timed:
    """One answer, the milliseconds it takes, and those of HiGHS on the same problem; `capped` when it was stopped."""

    problem: Problem
    solution: Solution
    ms: float
    highs_ms: float | None = None
    capped: bool = False

    @property
    def ratio(self) -> float:
        return self.highs_ms / self.ms if self.highs_ms is not None else inf


def timed(problem: Problem, *, with_highs: bool, seconds: float = SECONDS) -> Timed:
    """Solve a problem, then measure it."""
    start = time.perf_counter()
    late = time_over(start + seconds)
    solution = solve.solve(problem, Limits(seconds=seconds), watch=late)
    whole_ms = (time.perf_counter() - start) * 1000
    if solution.engine != search.ENGINE:
        answer = Timed(problem, solution, whole_ms)
    else:
        given = arrays.flatten(problem)
        answer = Timed(problem, solution, median_ms(lambda: search.solve_arrays(given, Limits())))
    if not with_highs or solution.status is SolveStatus.INFEASIBLE:
        return answer
    found = highs.solve(Encoding(problem).program, Stop(0.0, HIGHS_GAP, 10**9, HIGHS_S), warm=False)
    return replace(answer, highs_ms=found.seconds * 1000, capped=found.seconds >= HIGHS_S)


def time_over(ends_at: float) -> Watch:
    """Return who watches a search until an instant of the clock."""
    return lambda nodes, gap: time.perf_counter() > ends_at


def median_ms(work: Callable[[], object]) -> float:
    taken: list[float] = []
    while len(taken) < ROUNDS and sum(taken) < LONG_S * 1000:
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def record(instance: Instance, answer: Timed) -> dict[str, Any]:
    """Return what is written of one problem: numbers that do not exist are null."""
    solution = answer.solution
    written = {
        "id": instance.id,
        "status": solution.status.value,
        "objective": solution.objective if isfinite(solution.objective) else None,
        "bound": solution.bound if isfinite(solution.bound) else None,
        "nodes": solution.nodes,
        "ms": answer.ms,
        "trades": trades_of(instance, solution.orders),
        "engine": solution.engine,
    }
    return written | ({"max_raisable_cash": solution.raisable} if solution.raisable is not None else {})


def faults(instance: Instance, solution: Solution) -> list[str]:
    """Return what is wrong with an answer: a broken rule, or an objective or a bound that cannot be."""
    scale = max(instance.problem.value, 1.0)
    if solution.status is SolveStatus.INFEASIBLE:
        wrong = [] if instance.best_known is None else ["called infeasible"]
        raisable = solution.raisable if solution.raisable is not None else inf
        if instance.raisable is not None and abs(raisable - instance.raisable) > 1e-6 * scale:
            wrong.append(f"raisable {raisable}, known {instance.raisable}")
        return wrong
    objective, wrong = judge(instance.body, trades_of(instance, solution.orders))
    if abs(objective - solution.objective) > 1e-8 * scale:
        wrong = [*wrong, f"the file's rule says {objective}, we say {solution.objective}"]
    known = instance.best_known
    if known is not None and objective > known + 1e-6 * scale:
        wrong = [*wrong, f"{(objective - known) / scale:.1e} V above the best known"]
    if known is not None and solution.bound > known + 1e-6 * scale:
        wrong = [*wrong, f"bound {(solution.bound - known) / scale:.1e} V above the best known"]
    if instance.bound is not None and objective < instance.bound - 1e-6 * scale:
        wrong = [*wrong, "below the known bound"]
    return wrong


def size_class(problem: Problem) -> str:
    """Return the class in which a problem's times are compared."""
    count = len(problem.sleeves)
    if len(problem.purses) > 1:
        return "several accounts"
    if all(len(sleeve.entries) == 1 for sleeve in problem.sleeves):
        sizes = ((15, "up to 15 assets"), (39, "20-30 assets"), (80, "50 assets"), (299, "100-200 assets"))
        return next((name for most, name in sizes if count <= most), "500 assets")
    return "swaps, 3-15 sleeves" if count <= 15 else "swaps, 20-100 sleeves"


def medians(classes: dict[str, list[Timed]]) -> list[str]:
    """Return a line for each class: how long it takes, and how much longer HiGHS takes."""
    lines = [f"{'class':<24}{'problems':>9}{'median ms':>11}{'slowest':>11}{'HiGHS ms':>11}{'median ratio':>14}"]
    for name, answers in classes.items():
        ms = [answer.ms for answer in answers]
        line = f"{name:<24}{len(answers):>9}{statistics.median(ms):>11.3f}{max(ms):>11.3f}"
        rivals = [answer for answer in answers if answer.highs_ms is not None]
        if rivals:
            theirs = statistics.median(answer.highs_ms or 0.0 for answer in rivals)
            sign = ">=" if any(answer.capped for answer in rivals) else ""
            ratio = f"{sign}{statistics.median(answer.ratio for answer in rivals):,.0f}"
            line += f"{theirs:>11.1f}{ratio:>14}"
        lines.append(line)
    return lines


def run(
    instances: list[Instance], *, with_highs: bool, seconds: float, show: Callable[[str], None]
) -> tuple[list[dict[str, Any]], int]:
    """Solve all, show the table, and return the records and the number of wrong answers."""
    records, failed = [], 0
    classes: dict[str, list[Timed]] = {}
    show(f"{'id':<10}{'status':<12}{'gap':>9}{'to best':>9}{'nodes':>7}{'ms':>11}{'HiGHS':>10}{'ratio':>9}  engine")
    for instance in instances:
        answer = timed(instance.problem, with_highs=with_highs, seconds=seconds)
        wrong = faults(instance, answer.solution)
        failed += bool(wrong)
        records.append(record(instance, answer))
        classes.setdefault(size_class(instance.problem), []).append(answer)
        show(_line(instance, answer) + "".join(f"\n    WRONG: {fault}" for fault in wrong))
    show("\n" + "\n".join(medians(classes)))
    show(f"\n{len(instances)} problems, {failed} wrong; {'compiled' if kernels.active() else 'interpreted'}")
    return records, failed


def _line(instance: Instance, answer: Timed) -> str:
    solution = answer.solution
    gap = best = "-"
    if solution.status is not SolveStatus.INFEASIBLE:
        gap = f"{gap_of(instance.problem, solution.objective, solution.bound):.0e}"
        if instance.best_known is not None:
            best = f"{(solution.objective - instance.best_known) / max(instance.problem.value, 1.0):.0e}"
    theirs = "-" if answer.highs_ms is None else f"{answer.highs_ms:.1f}"
    ratio = "-" if answer.highs_ms is None else f"{'>' if answer.capped else ''}{answer.ratio:,.0f}"
    return (
        f"{instance.id:<10}{solution.status.value:<12}{gap:>9}{best:>9}{solution.nodes:>7}{answer.ms:>11.3f}"
        f"{theirs:>10}{ratio:>9}  {solution.engine}"
    )


def main(arguments: list[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    if asked.instances is None and not asked.figures:
        _parser().error("give --instances FILE, or --figures")
    if not asked.interpreted and not search.warm():
        print("numba is not installed; this is the interpreted search", file=sys.stderr)
    with_highs = not asked.no_highs and highs.is_installed()
    failed = 0
    if asked.instances is not None:
        show: Callable[[str], None] = (lambda line: None) if asked.json else print
        records, failed = run(read(asked.instances), with_highs=with_highs, seconds=asked.seconds, show=show)
        text = json.dumps(records, indent=1)
        if asked.out is not None:
            asked.out.write_text(text + "\n")
        if asked.json:
            print(text)
    if asked.figures:
        from tests.bench.figures import show_figures

        show_figures(with_highs=with_highs)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.bench.optimizer", description=__doc__.partition("\n")[0])
    parser.add_argument("--instances", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    for flag in ("--json", "--interpreted", "--no-highs", "--figures"):
        parser.add_argument(flag, action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
