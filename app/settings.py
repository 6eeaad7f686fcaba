"""Every setting, in one frozen table. Read once, at the composition root; the README's table is tested against it."""

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DAY_S = 86_400


class Settings(BaseSettings):
    """Settings come from the environment: `DATABASE_URL`, `REDIS_URL`, and `STEELYARD_` before every other name."""

    model_config = SettingsConfigDict(env_prefix="STEELYARD_", frozen=True, extra="ignore")

    database_url: str = Field(
        default="",
        repr=False,
        validation_alias="DATABASE_URL",
        description="PostgreSQL for the application's role; empty: `up` and `demo` bring their own server.",
    )
    migrate_database_url: str = Field(
        default="",
        repr=False,
        description="PostgreSQL for the role that owns the tables, used by `migrate` alone; empty is DATABASE_URL.",
    )
    redis_url: str = Field(
        default="",
        repr=False,
        validation_alias="REDIS_URL",
        description="Valkey or Redis; empty: `up` and `demo` bring their own server.",
    )
    data_dir: Path = Field(default=Path(".data"), description="Folder of the embedded servers' data.")
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port the API listens on.")
    demo: bool = Field(
        default=False,
        description="Demo mode: simulated data, a clock that runs fast, a signing secret made at start-up.",
    )

    jwt_issuer: str = Field(default="steelyard", description="Issuer a token must name.")
    jwt_audience: str = Field(default="steelyard", description="Audience a token must name.")
    jwt_secret: str = Field(
        default="", repr=False, description="HS256 secret of at least 32 bytes; empty turns HS256 off."
    )
    jwt_key_file: Path | None = Field(
        default=None, description="PEM file with the public key of RS256, ES256 or EdDSA tokens."
    )
    jwt_jwks_url: str = Field(default="", description="URL of a JWKS with the public keys of the issuer.")
    jwt_max_life_s: int = Field(default=86_400, ge=60, description="Longest life of a token that is accepted.")

    allowed_origins: tuple[str, ...] = Field(
        default=(), description="Browser origins, as a JSON list, that may open WebSockets besides the API's own."
    )
    introspection: bool = Field(default=True, description="Answer introspection queries.")
    body_max_bytes: int = Field(default=1_048_576, ge=1024, description="Largest request body.")
    inline_lots: int = Field(default=500, ge=0, description="Plans with at most this many lots are made at once.")
    inline_s: float = Field(
        default=2.0, gt=0, le=30, description="Longest search for a plan at once; one that needs more goes to a worker."
    )
    solver_s: float = Field(
        default=60.0, gt=0, le=3600, description="Longest search of a worker for one plan; then the best so far is it."
    )

    compiled: bool = Field(
        default=False,
        description="Heavy workers compile the optimiser with numba as they start: the same plans, sooner. The first "
        "start takes minutes; what is compiled is kept.",
    )

    scan_period_s: int = Field(
        default=3600, ge=1, le=86_400, description="Length of a scan bucket; it must divide 86400. 3600 is hourly."
    )
    scan_chunk_portfolios: int = Field(default=500, ge=1, le=10_000, description="Portfolios in one scan chunk.")
    sweep_s: float = Field(
        default=10.0, gt=0, description="How often a worker looks for scan chunks and plans that got lost."
    )
    drift_log_days: int = Field(
        default=90,
        ge=2,
        le=36_500,
        description="Days for which every measurement is kept; whole months go, once they are rolled up into days.",
    )
    drift_day_days: int = Field(
        default=0, ge=0, le=36_500, description="Days for which the figures of each day are kept; 0 is for ever."
    )
    event_poll_s: float = Field(
        default=1.0, gt=0, description="How often the API looks for new events when Redis does not nudge it."
    )

    webhook_loopback: bool = Field(
        default=False, description="Allow webhooks to this machine itself, also over http: for demo and tests."
    )
    smtp_url: str = Field(
        default="",
        repr=False,
        description="Mail server, smtp://user:password@host:port or smtps://; empty: no e-mail is sent.",
    )
    mail_from: str = Field(default="", description="Address that e-mail comes from.")
    delivery_poll_s: float = Field(
        default=1.0, gt=0, description="How often a worker looks for messages to hooks when Redis does not nudge it."
    )
    storm_alerts: int = Field(
        default=20, ge=1, le=10_000, description="Alerts of one owner and minute that go to a hook one by one."
    )
    storm_digest_s: int = Field(
        default=30, ge=0, le=3600, description="How long after the first alert beyond those their digest is sent."
    )
    block_window_s: float = Field(
        default=5.0,
        ge=0,
        le=3600,
        description="How long the first order of a pool waits for others that are put together with it.",
    )
    paper_seed: int = Field(default=0, description="Seed of all that the paper broker leaves to chance.")
    paper_latency_s: int = Field(
        default=2,
        ge=0,
        le=86_400,
        description="Longest wait of an order on paper before it, or its next part, is filled.",
    )
    paper_partial_percent: Decimal = Field(
        default=Decimal(25),
        ge=0,
        le=100,
        description="Percent of the orders on paper that are filled in several parts.",
    )
    paper_rejected_percent: Decimal = Field(
        default=Decimal(0), ge=0, le=100, description="Percent of the orders on paper that are rejected."
    )
    alpaca_key_id: str = Field(
        default="", repr=False, description="Key of an account at Alpaca; empty: it is not used."
    )
    alpaca_secret: str = Field(default="", repr=False, description="Secret of that key.")
    alpaca_account: str = Field(
        default="", description="Id of the one account here whose orders may go to Alpaca, with that key."
    )
    alpaca_url: str = Field(
        default="https://paper-api.alpaca.markets", description="Alpaca's trading API; this one trades without money."
    )
    metrics: bool = Field(default=True, description="Answer GET /metrics, which needs no token, for Prometheus.")

    db_pool: int = Field(default=10, ge=1, le=200, description="Most database connections of one process.")
    light_jobs: int = Field(default=10, ge=1, le=100, description="Light jobs at once in one worker.")
    heavy_jobs: int = Field(default=2, ge=1, le=64, description="Heavy jobs, and processes for them, in one worker.")
    job_lease_s: float = Field(default=5.0, ge=1, description="After this long without renewal a job is taken over.")
    job_timeout_s: int = Field(default=300, ge=1, description="Longest run of one job.")
    stop_timeout_s: int = Field(default=20, ge=1, description="Longest wait for open work at shutdown.")

    log_format: Literal["console", "json"] = Field(default="json", description="How log lines are written.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least level logged.")

    @field_validator("scan_period_s")
    @classmethod
    def _divides_a_day(cls, seconds: int) -> int:
        if DAY_S % seconds:
            raise ValueError(f"{seconds} does not divide {DAY_S}; buckets would drift through the day")
        return seconds


def explain(error: ValidationError) -> str:
    """Return what is wrong with the settings as one sentence that names them."""
    return "; ".join(f"{_setting(problem['loc'])}: {problem['msg']}" for problem in error.errors())


def _setting(loc: tuple[int | str, ...]) -> str:
    name = "_".join(map(str, loc))
    return name if name.isupper() else f"STEELYARD_{name.upper()}"


@cache
def load() -> Settings:
    """Read the settings from the environment, once."""
    return Settings()
