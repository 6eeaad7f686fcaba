"""Who calls: tokens are verified, made for the command line, and their keys checked before anything starts.

A token is a JWT whose issuer and `sub` name the owner. The algorithm follows the configured key, never the token:
HS256 belongs to `jwt_secret`; RS256, ES256 and EdDSA to the public keys of `jwt_key_file` and `jwt_jwks_url`.
"""

import asyncio
import ipaddress
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import jwt
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from app.core.errors import InvalidInput, Unauthenticated
from app.settings import Settings

ROLES = frozenset({"operator"})
"""The roles that mean something here; others in a token are passed over."""
ASYMMETRIC = frozenset({"RS256", "ES256", "EdDSA"})
REQUIRED_CLAIMS = ("exp", "iat", "sub", "aud", "iss")
FOREIGN_KEY_HEADERS = ("jku", "x5u", "jwk")
"""Headers by which a token brings its own key. Such a token is refused, whoever signed it."""

SECRET_BYTES_MIN = 32
SECRET_DISTINCT_MIN = 10
SECRET_RESIDUE_MIN = 16
RSA_BITS_MIN = 2048
TOKEN_LENGTH_MAX = 8192
NAME_LENGTH_MAX = 255
CLOCK_LEEWAY_S = 60
JWKS_LIFE_S = 300.0
"""After this long the key set is fetched again, so that a withdrawn key is forgotten."""
JWKS_STALE_S = 3600.0
"""For this long a key set is trusted while its address does not answer."""
JWKS_COOLDOWN_S = 10.0
"""At most one fetch in this time, so that made-up key ids cannot make us hammer the issuer."""
JWKS_TIMEOUT_S = 3.0

SECRET_ADVICE = "set it to the output of `openssl rand -hex 32`"  # noqa: S105 - advice, not a secret
KNOWN_WORDS = re.compile(
    r"change|please|replace|super|secret|password|passw0rd|default|example|sample|steelyard|insecure|private|"
    r"token|admin|development|production|test|demo|local|your|this|here|key|jwt|bit|not|for|me|my|256|hs256",
    re.IGNORECASE,
)
BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)")

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a token names: the owner (issuer, subject), its roles, and the tool that acts for the owner, if any."""

    issuer: str
    subject: str
    roles: frozenset[str]
    act: str | None
    expires_at: datetime


def bearer(header: str | None) -> str:
    """Return the token of an `Authorization` header."""
    if header is None:
        raise Unauthenticated("no token was given; send `Authorization: Bearer TOKEN`")
    if len(header) > TOKEN_LENGTH_MAX:
        raise Unauthenticated(f"the Authorization header is longer than {TOKEN_LENGTH_MAX} characters")
    found = BEARER.fullmatch(header)
    if found is None:
        raise Unauthenticated("the Authorization header is malformed; send `Authorization: Bearer TOKEN`")
    return found[1]


class Verifier:
    """Verifies tokens against the configured keys. Built once: it caches the issuer's key set."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._secret = _secret(settings) if settings.jwt_secret else None
        self._pem = _pem_key(settings)
        self._key_set = KeySet(_jwks_url(settings)) if settings.jwt_jwks_url else None

    async def verify(self, token: str, now: datetime) -> Principal:
        """Return whom `token` names, or raise Unauthenticated with a reason that may be told to anybody."""
        header = _header(token)
        key = await self._key_for(header)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                options={
                    "require": list(REQUIRED_CLAIMS),
                    "verify_exp": False,  # times are checked below, by the clock that was handed in
                    "verify_iat": False,
                    "verify_nbf": False,
                    "enforce_minimum_key_length": True,
                },
            )
        except jwt.MissingRequiredClaimError as error:
            raise Unauthenticated(f"the token has no claim {error.claim!r}") from None
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
            raise Unauthenticated("the token names another issuer or audience") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise Unauthenticated("the token is malformed or its signature does not fit") from None
        return self._principal(claims, now)

    async def _key_for(self, header: Mapping[str, Any]) -> "VerificationKey":
        algorithm = header.get("alg")
        if algorithm == "HS256" and self._secret is not None:
            return VerificationKey("HS256", self._secret)
        if algorithm in ASYMMETRIC:
            kid = header.get("kid")
            if self._key_set is not None and isinstance(kid, str):
                found = await self._key_set.key(kid)
                if found is not None and found.algorithm == algorithm:
                    return found
            if self._pem is not None and self._pem.algorithm == algorithm:
                return self._pem
        raise Unauthenticated("the token is not signed with a key that is known here")

    def _principal(self, claims: Mapping[str, Any], now: datetime) -> Principal:
        expires_s = self._check_times(claims, now)
        subject = claims["sub"]
        if not _is_name(subject):
            raise Unauthenticated(f"the token's sub must be 1 to {NAME_LENGTH_MAX} printable characters")
        return Principal(
            issuer=self._settings.jwt_issuer,
            subject=subject,
            roles=_roles(claims.get("role")),
            act=_actor(claims.get("act")),
            expires_at=datetime.fromtimestamp(expires_s, UTC),
        )

    def _check_times(self, claims: Mapping[str, Any], now: datetime) -> int:
        now_s = now.timestamp()
        expires_s, issued_s, not_before_s = claims["exp"], claims["iat"], claims.get("nbf", claims["iat"])
        # `type` rather than isinstance: true is no time, and a fraction would round differently elsewhere.
        if type(expires_s) is not int or type(issued_s) is not int or type(not_before_s) is not int:
            raise Unauthenticated("the token's exp, iat and nbf must be whole seconds")
        if expires_s <= now_s:
            raise Unauthenticated("the token has expired")
        if max(issued_s, not_before_s) > now_s + CLOCK_LEEWAY_S:
            raise Unauthenticated("the token is not valid yet")
        life_s = self._settings.jwt_max_life_s
        if expires_s - issued_s > life_s:
            raise Unauthenticated(f"the token lives longer than {life_s} s")
        return expires_s


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key and the one algorithm it is good for."""

    algorithm: str
    key: bytes | PublicKey


class KeySet:
    """The issuer's public keys by their ids, fetched off the event loop.

    Only one fetch runs at a time and none within the cooldown of the last, whether that one worked or not. While the
    address does not answer, the keys last seen stay good for `JWKS_STALE_S`.
    """

    def __init__(self, url: str) -> None:
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=JWKS_TIMEOUT_S)
        self._keys: dict[str, VerificationKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()

    async def key(self, kid: str) -> VerificationKey | None:
        """Return the key with this id, or None when the issuer has none that we accept."""
        if self._age_s() > JWKS_LIFE_S or kid not in self._keys:
            await self._refresh(kid)
        return self._keys.get(kid) if self._age_s() <= JWKS_STALE_S else None

    async def _refresh(self, kid: str) -> None:
        if self._lock.locked() and kid in self._keys:
            return  # somebody is fetching already, and what is known will do meanwhile
        async with self._lock:
            if self._tried_at is not None and time.monotonic() - self._tried_at < JWKS_COOLDOWN_S:
                return
            self._tried_at = time.monotonic()
            try:
                found = await asyncio.to_thread(self._client.get_signing_keys, refresh=True)
            except Exception as error:  # whatever the address answers, it must not turn into a failure of ours
                log.warning("jwks_fetch_failed", url=self._client.uri, error=str(error))
                return
            self._keys = {str(jwk.key_id): key for jwk in found if (key := _accepted(jwk)) is not None}
            self._fetched_at = time.monotonic()

    def _age_s(self) -> float:
        return float("inf") if self._fetched_at is None else time.monotonic() - self._fetched_at


def issue(
    settings: Settings,
    *,
    subject: str,
    now: datetime,
    ttl_s: int,
    role: str | None = None,
    act: str | None = None,
) -> str:
    """Make an HS256 token for the command line and the demo."""
    if not settings.jwt_secret:
        raise InvalidInput("STEELYARD_JWT_SECRET is not set, so no token can be signed; " + SECRET_ADVICE)
    if not 1 <= ttl_s <= settings.jwt_max_life_s:
        raise InvalidInput(f"ttl is {ttl_s} s; it must be 1 to {settings.jwt_max_life_s}", ["ttl"])
    if not _is_name(subject):
        raise InvalidInput(f"sub must be 1 to {NAME_LENGTH_MAX} printable characters", ["sub"])
    if role is not None and role not in ROLES:
        raise InvalidInput(f"role {role!r} is not known; use {', '.join(sorted(ROLES))}", ["role"])
    if act is not None and not _is_name(act):
        raise InvalidInput(f"act must be 1 to {NAME_LENGTH_MAX} printable characters", ["act"])
    issued_s = int(now.timestamp())
    claims = {
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "sub": subject,
        "iat": issued_s,
        "exp": issued_s + ttl_s,
        "role": role,
        "act": act,
    }
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(given, _secret(settings), algorithm="HS256")


def check(settings: Settings) -> None:
    """Raise InvalidInput, naming the setting and what to do, unless tokens can be trusted with these settings."""
    if settings.demo:
        if not _is_loopback(settings.host):
            raise InvalidInput(
                f"STEELYARD_HOST is {settings.host!r}, and the demo listens on loopback only; "
                "set it to 127.0.0.1, or turn STEELYARD_DEMO off"
            )
    elif not (settings.jwt_secret or settings.jwt_key_file or settings.jwt_jwks_url):
        raise InvalidInput(
            "no key for tokens is set: set STEELYARD_JWT_KEY_FILE or STEELYARD_JWT_JWKS_URL to your issuer's keys, "
            f"or STEELYARD_JWT_SECRET ({SECRET_ADVICE})"
        )
    if settings.jwt_secret:
        _secret(settings)
        weakness = _weakness(settings.jwt_secret)
        if weakness and not settings.demo:
            raise InvalidInput(f"STEELYARD_JWT_SECRET {weakness}; {SECRET_ADVICE}")
    _pem_key(settings)
    _jwks_url(settings)


def _header(token: str) -> dict[str, Any]:
    if len(token) > TOKEN_LENGTH_MAX:
        raise Unauthenticated(f"the token is longer than {TOKEN_LENGTH_MAX} characters")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise Unauthenticated("the token is malformed or its signature does not fit") from None
    for name in FOREIGN_KEY_HEADERS:
        if name in header:
            raise Unauthenticated(f"the token's header {name!r} brings its own key; only the keys set here count")
    return header


def _is_name(value: object) -> bool:
    """Tell whether `value` can name an owner or a tool: PostgreSQL stores it, and a log line shows it safely."""
    return isinstance(value, str) and 0 < len(value) <= NAME_LENGTH_MAX and value.isprintable()


def _roles(claim: object) -> frozenset[str]:
    named = [] if claim is None else [claim] if isinstance(claim, str) else claim
    if not isinstance(named, list) or not all(isinstance(role, str) for role in named):
        raise Unauthenticated("the token's role must be a string or a list of strings")
    return ROLES.intersection(named)


def _actor(claim: object) -> str | None:
    if claim is None:
        return None
    name = claim.get("sub") if isinstance(claim, dict) else claim
    if not isinstance(name, str) or not _is_name(name):
        raise Unauthenticated('the token\'s act must name a tool: a string, or {"sub": "NAME"}')
    return name


def _secret(settings: Settings) -> bytes:
    secret = settings.jwt_secret.encode()
    if len(secret) < SECRET_BYTES_MIN:
        raise InvalidInput(
            f"STEELYARD_JWT_SECRET has {len(secret)} bytes and needs at least {SECRET_BYTES_MIN}; {SECRET_ADVICE}"
        )
    return secret


def _weakness(secret: str) -> str | None:
    """Return why a secret of sufficient length could be guessed all the same."""
    distinct = len(set(secret))
    if distinct < SECRET_DISTINCT_MIN:
        return f"has only {distinct} different characters and needs at least {SECRET_DISTINCT_MIN}"
    if any(secret[period:] == secret[:-period] for period in range(1, len(secret) // 2 + 1)):
        return "repeats itself"
    steps = [ord(after) - ord(before) for before, after in pairwise(secret)]
    if sum(-1 <= step <= 1 for step in steps) > len(steps) / 2:
        return "runs through the alphabet"
    residue = re.sub(r"[\W_]", "", KNOWN_WORDS.sub("", secret))
    return "is made of well-known words" if len(residue) < SECRET_RESIDUE_MIN else None


def _pem_key(settings: Settings) -> VerificationKey | None:
    if settings.jwt_key_file is None:
        return None
    try:
        key = load_pem_public_key(settings.jwt_key_file.read_bytes())
    except OSError as error:
        raise InvalidInput(f"STEELYARD_JWT_KEY_FILE cannot be read: {error}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(
            f"STEELYARD_JWT_KEY_FILE {settings.jwt_key_file} holds no PEM public key; "
            "make one with `openssl pkey -in private.pem -pubout`"
        ) from None
    algorithm = _algorithm_of(key)
    if algorithm is None or not isinstance(key, PublicKey):
        raise InvalidInput(
            f"STEELYARD_JWT_KEY_FILE {settings.jwt_key_file} must hold an RSA key of at least {RSA_BITS_MIN} bits, "
            "a P-256 key or an Ed25519 key"
        )
    return VerificationKey(algorithm, key)


def _accepted(jwk: jwt.PyJWK) -> VerificationKey | None:
    """Return a key of the issuer's set if its type and its stated algorithm agree and are accepted here."""
    algorithm = _algorithm_of(jwk.key)
    if algorithm is None or algorithm != jwk.algorithm_name:
        return None
    return VerificationKey(algorithm, jwk.key)


def _algorithm_of(key: object) -> str | None:
    if isinstance(key, RSAPublicKey):
        return "RS256" if key.key_size >= RSA_BITS_MIN else None
    if isinstance(key, EllipticCurvePublicKey):
        return "ES256" if isinstance(key.curve, SECP256R1) else None
    return "EdDSA" if isinstance(key, Ed25519PublicKey) else None


def _jwks_url(settings: Settings) -> str:
    url = settings.jwt_jwks_url
    try:
        parts = urlsplit(url)
        trusted = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or ""))
    except ValueError:
        trusted = False
    if url and not (trusted and parts.hostname and url.isascii()):
        raise InvalidInput(f"STEELYARD_JWT_JWKS_URL is {url!r}; it must be an https address (http on loopback only)")
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
