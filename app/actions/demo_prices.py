"""The prices of the demo: real closes of stocks and factor ETFs, and simulated ones for what the data set lacks.

The real ones are data files of the package skfolio (BSD-3), fetched by pip into a folder that is never committed and
read as files: nothing of the package runs. They are adjusted for splits and dividends. Bonds, crypto and the euro come
from a generator that gives the same numbers everywhere, and are called simulated wherever they appear.
"""

import csv
import gzip
import random
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, localcontext
from functools import cache
from pathlib import Path
from typing import Final

from app.core.costs import Costs
from app.core.errors import InvalidInput
from app.core.money import ONE, PRICE_LIMIT, PRICE_PLACES, ROUNDED, ZERO, parse, round_half_even
from app.core.portfolio import Asset, AssetClass

LOCK: Final = Path(__file__).parents[1] / "demo.lock"
# A megabyte and a half: longer than this means that there is no way to the index.
FETCH_TIMEOUT_S: Final = 120
CLOSE_PLACES: Final = 6
# New York closes at 21:00 UTC in winter and at 20:00 in summer; the later one is never before the fact.
CLOSE: Final = time(21, tzinfo=UTC)
# Where the replay begins and ends; from 2014-01-02 there are prices of everything, for what was bought before.
FIRST_DAY: Final = date(2018, 1, 2)
LAST_DAY: Final = date(2022, 12, 28)

STOCKS: Final = {
    "AAPL": "Apple Inc.",
    "AMD": "Advanced Micro Devices, Inc.",
    "BAC": "Bank of America Corporation",
    "BBY": "Best Buy Co., Inc.",
    "CVX": "Chevron Corporation",
    "GE": "General Electric Company",
    "HD": "The Home Depot, Inc.",
    "JNJ": "Johnson & Johnson",
    "JPM": "JPMorgan Chase & Co.",
    "KO": "The Coca-Cola Company",
    "LLY": "Eli Lilly and Company",
    "MRK": "Merck & Co., Inc.",
    "MSFT": "Microsoft Corporation",
    "PEP": "PepsiCo, Inc.",
    "PFE": "Pfizer Inc.",
    "PG": "The Procter & Gamble Company",
    "RRC": "Range Resources Corporation",
    "UNH": "UnitedHealth Group Incorporated",
    "WMT": "Walmart Inc.",
    "XOM": "Exxon Mobil Corporation",
}
ETFS: Final = {
    "MTUM": "iShares MSCI USA Momentum Factor ETF",
    "QUAL": "iShares MSCI USA Quality Factor ETF",
    "SIZE": "iShares MSCI USA Size Factor ETF",
    "USMV": "iShares MSCI USA Min Vol Factor ETF",
    "VLUE": "iShares MSCI USA Value Factor ETF",
}
FILES: Final = {"sp500_dataset.csv.gz": tuple(STOCKS), "factors_dataset.csv.gz": tuple(ETFS)}
SIMULATED_SOURCE: Final = "demo: simulated"


@dataclass(frozen=True, slots=True)
class Walk:
    """A simulated series: each day it moves by `trend` + `volatility` x noise, and by `pull` of its way to the start.

    All three are fractions. With `follows`, 0.8 of the noise is the other series', which is one of correlation 0.8.
    """

    name: str
    start: Decimal
    trend: Decimal
    volatility: Decimal
    pull: Decimal = ZERO
    follows: str = ""


WALKS: Final = {
    "SIM-BOND": Walk("Simulated bond index", Decimal(100), Decimal("0.0001"), Decimal("0.0025")),
    "SIM-TBILL": Walk("Simulated treasury bills", Decimal(100), Decimal("0.00006"), Decimal("0.0001")),
    "SIM-BTC": Walk("Simulated bitcoin", Decimal(800), Decimal("0.0022"), Decimal("0.04")),
    "SIM-ETH": Walk("Simulated ether", Decimal(40), Decimal("0.0025"), Decimal("0.05"), follows="SIM-BTC"),
    "EUR": Walk("Simulated euro in US dollars", Decimal("1.18"), ZERO, Decimal("0.0045"), Decimal("0.004")),
    "SIM-EURBOND": Walk("Simulated euro bond index", Decimal(100), Decimal("0.00005"), Decimal("0.003")),
}
# 0.8 squared and 0.6 squared are one, so that the noise of a follower is no larger than anybody's.
SHARED_NOISE: Final = Decimal("0.8")
OWN_NOISE: Final = Decimal("0.6")

_STOCK_COSTS: Final = Costs(half_spread=Decimal("0.0002"))
_ETF_COSTS: Final = Costs(half_spread=Decimal("0.0001"))
_BOND_COSTS: Final = Costs(half_spread=Decimal("0.0005"))
_CRYPTO_COSTS: Final = Costs(rate=Decimal("0.001"), half_spread=Decimal("0.0005"))


@dataclass(frozen=True, slots=True)
class PriceSeries:
    """Closes by symbol, one for each of `days`, in the asset's currency; `sources` says where each comes from."""

    days: tuple[date, ...]
    closes: Mapping[str, tuple[Decimal, ...]]
    sources: Mapping[str, str]


def assets() -> list[Asset]:
    """Return everything the demo can hold, with steps and costs as they usually are, and the euro."""
    stocks = [_asset(symbol, AssetClass.STOCK, name, "1", _STOCK_COSTS) for symbol, name in STOCKS.items()]
    etfs = [_asset(symbol, AssetClass.ETF, name, "1", _ETF_COSTS) for symbol, name in ETFS.items()]
    return [
        *stocks,
        *etfs,
        _simulated("SIM-BOND", AssetClass.BOND, "0.01", _BOND_COSTS),
        _simulated("SIM-TBILL", AssetClass.BOND, "0.01", _BOND_COSTS),
        _simulated("SIM-EURBOND", AssetClass.BOND, "0.01", _BOND_COSTS, "EUR"),
        _simulated("SIM-BTC", AssetClass.CRYPTO, "0.0001", _CRYPTO_COSTS),
        _simulated("SIM-ETH", AssetClass.CRYPTO, "0.0001", _CRYPTO_COSTS),
        _simulated("EUR", AssetClass.CASH, "0.01", Costs()),
    ]


def _simulated(symbol: str, asset_class: AssetClass, step: str, costs: Costs, currency: str = "USD") -> Asset:
    return _asset(symbol, asset_class, WALKS[symbol].name, step, costs, currency)


def _asset(symbol: str, asset_class: AssetClass, name: str, step: str, costs: Costs, currency: str = "USD") -> Asset:
    return Asset(
        id=f"{symbol}:{currency}:",
        symbol=symbol,
        asset_class=asset_class,
        currency=currency,
        name=name,
        quantity_step=Decimal(step),
        price_step=Decimal("0.0001" if asset_class is AssetClass.CASH else "0.01"),
        costs=costs,
    )


def fetch(data: Path) -> Path:
    """Bring the files of real prices into the folder `data`, unless they are there; return the folder they are in.

    pip checks the hash of `demo.lock`, and the folder appears only once it is complete.
    """
    folder = folder_of(data)
    if folder.is_dir():
        return folder
    try:
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=data, prefix="fetching-") as fresh:
            _install(Path(fresh))
            (Path(fresh) / "skfolio" / "datasets" / "data").rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else somebody was faster, and the folder is complete
            raise InvalidInput(f"the demo's price data cannot be put into {data}: {error.strerror}") from None
    return folder


def folder_of(data: Path) -> Path:
    """Return where in `data` the files of the locked version are."""
    return data / f"skfolio-{version()}"


def version() -> str:
    """Return the version of the data's package: the one in `demo.lock`."""
    return LOCK.read_text().split()[0].partition("==")[2]


def _install(target: Path) -> None:
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-warn-conflicts"]
    only = ["--no-deps", "--no-compile", "--only-binary", ":all:", "--require-hashes"]
    command = [sys.executable, "-m", "pip", "install", *quiet, *only, "--target", str(target), "-r", str(LOCK)]
    try:
        done = subprocess.run(  # noqa: S603 - our interpreter, our arguments
            command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise InvalidInput(
            f"the demo's price data did not arrive within {FETCH_TIMEOUT_S} seconds; look at the network and try again"
        ) from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        reason = next((line for line in said if line.startswith("ERROR:")), said[-1] if said else "pip says nothing")
        raise InvalidInput(
            f"the demo's price data cannot be fetched; pip says: {reason.removeprefix('ERROR:').strip()[:300]}"
        )


def load(data: Path, start: date, end: date) -> PriceSeries:
    """Read the closes from `start` to `end`, both included, of the days that have a price of everything.

    Closes are rounded half-even to 6 decimals. The simulated ones are the same for a day whatever the window is.
    """
    every_day, real = _read_all(folder_of(data))
    places = [place for place, day in enumerate(every_day) if start <= day <= end]
    if not places:
        raise InvalidInput(f"there are no prices from {start} to {end}; they go from {every_day[0]} to {every_day[-1]}")
    within = slice(places[0], places[-1] + 1)
    all_closes = real | simulate(len(every_day))
    shown = f"demo: skfolio {version()} (real daily closes, adjusted)"
    return PriceSeries(
        days=every_day[within],
        closes={symbol: closes[within] for symbol, closes in all_closes.items()},
        sources={symbol: SIMULATED_SOURCE if symbol in WALKS else shown for symbol in all_closes},
    )


@cache
def _read_all(folder: Path) -> tuple[tuple[date, ...], dict[str, tuple[Decimal, ...]]]:
    tables = [_read(folder / name, symbols) for name, symbols in FILES.items()]
    days = sorted(set.intersection(*(set(table) for table in tables)))
    rows = [{symbol: close for table in tables for symbol, close in table[day].items()} for day in days]
    symbols = [symbol for symbols in FILES.values() for symbol in symbols]
    return tuple(map(date.fromisoformat, days)), {s: tuple(row[s] for row in rows) for s in symbols}


def _read(path: Path, symbols: tuple[str, ...]) -> dict[str, dict[str, Decimal]]:
    """Read one file: closes by symbol, by day. The days before the factor ETFs are not even parsed."""
    try:
        with gzip.open(path, "rt", encoding="ascii", newline="") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            if header != ["Date", *symbols]:
                raise InvalidInput(f"{path} is not the file of prices that was locked; delete its folder to fetch it")
            return {row[0]: _closes(symbols, row[1:]) for row in rows if row[0] >= "2014"}
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{path} cannot be read: {error}; delete its folder to fetch it again") from None


def _closes(symbols: tuple[str, ...], texts: list[str]) -> dict[str, Decimal]:
    return {
        symbol: round_half_even(parse(text, places=PRICE_PLACES, limit=PRICE_LIMIT, what=symbol), CLOSE_PLACES)
        for symbol, text in zip(symbols, texts, strict=True)
    }


@cache
def simulate(days: int) -> dict[str, tuple[Decimal, ...]]:
    """Return `days` closes of each simulated series, rounded half-even to 6 decimals every day.

    The same on every machine: the noise is made of whole numbers and all else is Decimal.
    """
    closes = {}
    with localcontext(ROUNDED):
        own = {symbol: _noise(symbol, days) for symbol in WALKS}
        for symbol, walk in WALKS.items():
            noise = own[symbol]
            if walk.follows:
                pairs = zip(own[walk.follows], noise, strict=True)
                noise = [SHARED_NOISE * shared + OWN_NOISE * alone for shared, alone in pairs]
            closes[symbol] = _walk(walk, noise)
    return closes


def _noise(symbol: str, days: int) -> list[Decimal]:
    """Twelve uniform numbers, less six: mean 0, variance 1, nearly normal, and never beyond six."""
    source = random.Random(f"steelyard demo {symbol}")  # noqa: S311 - a simulation, not a secret
    unit = 10**9
    return [Decimal(sum(source.randrange(unit) for _ in range(12)) - 6 * unit).scaleb(-9) for _ in range(days)]


def _walk(walk: Walk, noise: list[Decimal]) -> tuple[Decimal, ...]:
    closes = []
    close = round_half_even(walk.start, CLOSE_PLACES)
    for step in noise:
        closes.append(close)
        back = walk.pull * (walk.start - close) / walk.start
        close = round_half_even(close * (ONE + walk.trend + walk.volatility * step + back), CLOSE_PLACES)
    return tuple(closes)


def frames(series: PriceSeries) -> Iterator[tuple[date, dict[str, Decimal]]]:
    """Yield day after day with its closes by symbol: what a replay records."""
    for place, day in enumerate(series.days):
        yield day, {symbol: closes[place] for symbol, closes in series.closes.items()}


def closed_at(day: date) -> datetime:
    """Return the instant a day's closes are of: 21:00 UTC."""
    return datetime.combine(day, CLOSE)
