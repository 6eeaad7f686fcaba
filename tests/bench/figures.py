"""Our own families of problems against the figures to reach: `python -m tests.bench.optimizer --figures`."""

import statistics
import time
from dataclasses import dataclass

from app.core.optimize import arrays, kernels, search
from app.core.optimize.answers import gap_of
from app.core.optimize.problem import Limits
from tests.bench import families
from tests.bench.families import Family
from tests.bench.optimizer import Timed, timed
from tests.core.optimize.agreement import disagreement
from tests.core.optimize.problems import ONE_MEMBER, SWAPS, random_problem

PORTFOLIOS = 10_000
# Random problems that both engines solve; the tests take the first few of the same.
AGREE = {"one-member sleeves": (ONE_MEMBER, 2000), "sleeves with swaps": (SWAPS, 1000)}


@dataclass(frozen=True)
class Bar:
    """What a family must reach: milliseconds (median) compiled and interpreted, ratio against HiGHS, gap of V."""

    family: Family
    problems: int
    ms: float
    interpreted_ms: float | None = None
    ratio: float | None = None
    gap: float = 1e-6


BARS = (
    Bar(families.ONE_30, 20, 0.1, interpreted_ms=5.0, ratio=300),
    Bar(families.ONE_100, 10, 1.0, ratio=3000),
    Bar(families.ONE_500, 3, 50.0),
    Bar(families.SWAPS_15, 10, 5.0, ratio=40),
    Bar(families.SWAPS_30, 10, 5.0, interpreted_ms=150.0, ratio=100),
    Bar(families.SWAPS_100, 5, 20.0, ratio=100),
    Bar(families.GROUPED, 5, 100.0, gap=1e-5),
)


def show_figures(*, with_highs: bool) -> None:
    """Print each figure beside its bar; what is not reached is marked."""
    for bar in BARS:
        rivals = with_highs and bar.ratio is not None
        answers = [timed(families.problem(bar.family, number), with_highs=rivals) for number in range(bar.problems)]
        print(_line(bar, answers))
    print(_batch())


def _line(bar: Bar, answers: list[Timed]) -> str:
    most_ms = bar.ms if kernels.active() else bar.interpreted_ms
    taken = statistics.median(answer.ms for answer in answers)
    parts = [f"{bar.family.name:<24}{taken:>10.3f} ms (slowest {max(answer.ms for answer in answers):.3f})"]
    if most_ms is not None:
        parts.append(_against(f"bar {most_ms:g} ms", taken <= most_ms))
    gaps = [gap_of(answer.problem, answer.solution.objective, answer.solution.bound) for answer in answers]
    parts.append(_against(f"gap {max(gaps):.0e}, bar {bar.gap:.0e}", max(gaps) <= bar.gap))
    rivals = [answer for answer in answers if answer.highs_ms is not None]
    if rivals and bar.ratio is not None and kernels.active():
        ratio = statistics.median(answer.ratio for answer in rivals)
        sign = ">=" if any(answer.capped for answer in rivals) else ""
        parts.append(_against(f"HiGHS {sign}{ratio:,.0f} x, bar {bar.ratio:,.0f} x", ratio >= bar.ratio))
    return "  ".join(parts)


def _against(text: str, reached: bool) -> str:
    return text if reached else f"{text} NOT REACHED"


def _batch() -> str:
    """Solve many small portfolios one after the other, flat already."""
    count = PORTFOLIOS if kernels.active() else PORTFOLIOS // 100
    given = [arrays.flatten(families.problem(families.BATCH, number)) for number in range(count)]
    start = time.perf_counter()
    answers = [search.solve_arrays(one, Limits(gap=1e-5)) for one in given]
    taken = time.perf_counter() - start
    wide = max((answer.objective - answer.bound) / one.purse.scale for answer, one in zip(answers, given, strict=True))
    text = f"{count:,} portfolios x 30 holdings: {taken:.2f} s, gap at most {wide:.0e}"
    return f"{text}  {_against('bar 1.5 s', taken <= 1.5)}" if kernels.active() else text


def show_agreement() -> int:
    """Solve thousands of random problems by the search and by HiGHS; print and return how many differ."""
    wrong = 0
    for name, (kind, count) in AGREE.items():
        told = {seed: text for seed in range(count) if (text := disagreement(random_problem(seed, kind)))}
        print(f"{name}: {count:,} random problems, {len(told)} differ from HiGHS by more than 1e-6 V")
        print("".join(f"    problem {seed}: {text}\n" for seed, text in told.items()), end="")
        wrong += len(told)
    return wrong
