"""Problems in files: a dozen given ones with their best known answers, read, solved, judged and written back."""

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from app.core.optimize.judge import check
from app.core.optimize.problem import SolveStatus
from app.core.optimize.solve import solve
from tests.bench import optimizer
from tests.bench.instances import Instance, instance_of, orders_of, read, trades_of
from tests.bench.judge_file import judge

FILE: Final = Path(__file__).parent / "records.json"
RECORDS: Final[list[dict[str, Any]]] = json.loads(FILE.read_text())["records"]
INSTANCES: Final = read(FILE)
BY_NAME: Final = {instance.body["name"]: instance for instance in INSTANCES}


@pytest.mark.parametrize("instance", INSTANCES, ids=lambda instance: instance.body["name"])
def test_a_given_problem_is_solved_as_well_as_is_known(instance: Instance) -> None:
    assert optimizer.faults(instance, solve(instance.problem)) == []


@pytest.mark.parametrize("record", [one for one in RECORDS if "trades" in one], ids=lambda one: one["instance"]["name"])
def test_both_judges_agree_with_the_file_on_its_own_answer(record: dict[str, Any]) -> None:
    instance = instance_of(record)
    near = pytest.approx(record["best_known"], abs=1e-9 * max(instance.problem.value, 1.0))
    objective, wrong = judge(instance.body, record["trades"])
    assert objective == near
    assert wrong == []
    orders = orders_of(instance, record["trades"])
    verdict = check(instance.problem, orders)
    assert verdict.objective == near
    assert verdict.violations == ()
    again = orders_of(instance, trades_of(instance, orders))
    assert again == orders


def test_an_infeasible_one_is_called_so_with_the_largest_cash_that_can_be_raised() -> None:
    instance = BY_NAME["infeasible_withdrawal"]
    solution = solve(instance.problem)
    assert solution.status is SolveStatus.INFEASIBLE
    assert solution.raisable == pytest.approx(729294.1929039999)


def broken(name: str, trades: Any) -> list[str]:
    return judge(BY_NAME[name].body, trades)[1]


def test_the_judge_of_files_tells_what_is_broken() -> None:
    body = BY_NAME["single_asset_whole"].body
    asset = body["assets"][0]
    held = sum(lot["qty"] for lot in asset["lots"])
    assert broken("single_asset_whole", [{"buy": 0.5, "sell": {}}]) != []
    assert any("steps" in fault for fault in broken("single_asset_whole", [{"buy": 0.5, "sell": {}}]))
    assert any("cash" in fault for fault in broken("single_asset_whole", [{"buy": 1e6, "sell": {}}]))
    oversold = [{"buy": 0.0, "sell": {"0": held + 1.0}}]
    assert any("sold of lot 0" in fault for fault in broken("single_asset_whole", oversold))
    both = [{"buy": 1.0, "sell": {"0": 1.0}}]
    assert any("bought and sold" in fault for fault in broken("single_asset_whole", both))


def test_a_worse_answer_and_a_bound_too_high_are_faults() -> None:
    instance = BY_NAME["legacy_exit_tax"]
    solution = solve(instance.problem)
    still = orders_of(instance, [[{"buy": 0.0, "sell": {}} for _ in row] for row in solution.orders])
    hold = check(instance.problem, still).objective
    assert hold == pytest.approx(next(one["hold"] for one in RECORDS if one["instance"]["id"] == instance.id))
    worse = replace(solution, orders=still, objective=hold)
    assert any("above the best known" in fault for fault in optimizer.faults(instance, worse))
    lofty = replace(solution, bound=hold)
    assert any(fault.startswith("bound") for fault in optimizer.faults(instance, lofty))


def test_what_is_absent_has_a_default() -> None:
    assets = [{"id": "A", "price": 10.0, "target_weight": 0.5, "lots": [{"qty": 10.0, "basis": 5.0, "days": 400}]}]
    assets.append({"id": "B", "price": 20.0, "target_weight": 0.5})
    params = {"lam_out": 1.0, "lam_in": 1.0, "lam_cash": 1.0, "rate_st": 0.3, "rate_lt": 0.2, "beta": 1, "lt_days": 365}
    instance = instance_of({"id": "X", "cash": 0.0, "params": params, "assets": assets})
    solution = solve(instance.problem)
    assert trades_of(instance, solution.orders) == [{"buy": 0.0, "sell": {"0": 5.0}}, {"buy": 2.5, "sell": {}}]
    objective, wrong = judge(instance.body, trades_of(instance, solution.orders))
    assert objective == pytest.approx(5.0)
    assert wrong == []


@pytest.mark.parametrize("form", ["records", "bare list", "no wrapper"])
def test_the_benchmark_writes_each_problem_in_the_form_of_its_file(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [deepcopy(one) for one in RECORDS if one["instance"]["id"] in ("I010", "L044")]
    bare = [one["instance"] for one in few]
    content: Any = {"records": few, "bare list": few, "no wrapper": bare}[form]
    asked, written = tmp_path / "in.json", tmp_path / "out.json"
    asked.write_text(json.dumps({"records": content} if form == "records" else content))
    assert optimizer.main(["--instances", str(asked), "--out", str(written), "--json", "--interpreted"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(written.read_text())
    whole, impossible = json.loads(written.read_text())
    assert (whole["id"], whole["status"], len(whole["trades"])) == ("I010", "OPTIMAL", 1)
    assert whole["bound"] <= whole["objective"]
    assert whole["ms"] > 0
    assert (impossible["status"], impossible["objective"], impossible["trades"]) == ("INFEASIBLE", None, [])
    assert impossible["max_raisable_cash"] == pytest.approx(729294.1929039999)


def test_the_table_names_the_engine_and_the_ratio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = tmp_path / "in.json"
    asked.write_text(json.dumps([one for one in RECORDS if one["instance"]["id"] == "I010"]))
    assert optimizer.main(["--instances", str(asked), "--interpreted"]) == 0
    shown = capsys.readouterr().out
    assert "branch and bound" in shown
    assert "up to 15 assets" in shown
    assert "1 problems, 0 wrong; interpreted" in shown
