"""Hulls remembered with their restrictions."""

from typing import Any

from app.core.optimize import arrays, memo
from app.core.optimize.problem import Entry, Lot, Problem, Purse, Sleeve


def given() -> arrays.Arrays:
    entries = tuple(Entry(asset, 0, 1.0, 100.0, (Lot(100.0),)) for asset in range(4))
    sleeves = (Sleeve(200.0, 0.0, 1.0, 1.0, entries[:2]), Sleeve(200.0, 0.0, 1.0, 1.0, entries[2:]))
    return arrays.flatten(Problem(400.0, (Purse(0.0),), sleeves))


def keep(k: int, cost: float, problem: arrays.Arrays, kept: memo.Memo) -> None:
    memo.keep(k, 2, 0.25, [-1.0, 1.0], [cost, 0.0], [-1.0, 0.0, 0.0, 1.0], problem.flat, problem.box, kept)


def test_hull_comes_back_for_the_same_restrictions_only() -> None:
    problem, kept = given(), memo.room(2, 2, 2)
    assert memo.find(0, problem.flat, problem.box, kept) == memo.UNKNOWN
    keep(0, 5.0, problem, kept)
    problem.box.buy_high[1] = 0.0
    assert memo.find(0, problem.flat, problem.box, kept) == memo.UNKNOWN
    keep(0, 7.0, problem, kept)
    assert memo.find(0, problem.flat, problem.box, kept) == 1
    problem.box.buy_high[1] = 400.0
    assert memo.find(0, problem.flat, problem.box, kept) == 0
    assert memo.find(1, problem.flat, problem.box, kept) == memo.UNKNOWN
    assert (kept.cost[kept.at[0]], kept.cost[kept.at[1]], kept.slack[1]) == (5.0, 7.0, 0.25)


def test_every_kind_of_restriction_counts() -> None:
    problem, kept = given(), memo.room(2, 2, 2)
    keep(1, 5.0, problem, kept)
    kinds: tuple[list[Any], ...] = problem.box
    for ends in kinds:
        before = ends[3]
        ends[3] = before + 1
        assert memo.find(1, problem.flat, problem.box, kept) == memo.UNKNOWN
        ends[3] = before
    assert memo.find(1, problem.flat, problem.box, kept) == 0


def test_full_memory_keeps_what_it_has() -> None:
    problem, kept = given(), memo.room(2, 2, 2)
    for count in range(len(kept.at) + 3):
        problem.box.buy_low[0] = float(count)
        keep(0, float(count), problem, kept)
    assert kept.used[memo.HULLS] == len(kept.at)
    assert memo.find(0, problem.flat, problem.box, kept) == memo.UNKNOWN
    problem.box.buy_low[0] = 3.0
    assert memo.find(0, problem.flat, problem.box, kept) == 3


def test_memory_is_forgotten() -> None:
    problem, kept = given(), memo.room(2, 2, 2)
    keep(0, 5.0, problem, kept)
    memo.forget(kept)
    assert memo.find(0, problem.flat, problem.box, kept) == memo.UNKNOWN


def test_no_room_is_taken_where_every_sleeve_has_one_entry() -> None:
    kept = memo.room(30, 0, 1)
    assert (len(kept.at), len(kept.cash), len(kept.key)) == (0, 0, 0)
