"""Tokens: whom they name, what makes them worthless, and which keys the application refuses to start with."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from app.api import auth
from app.core.errors import InvalidInput, Unauthenticated
from app.settings import Settings

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
SECRET = "k7Qd2mZp9Xw4Rt6Yb1Nc8Vf3Hj5Lg0As"
CLAIMS: dict[str, Any] = {"iss": "steelyard", "aud": "steelyard", "sub": "ann", "iat": NOW_S, "exp": NOW_S + 600}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def settings(**given: Any) -> Settings:
    return Settings(**given)


def token(key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    merged = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ...}
    return jwt.encode(merged, key, algorithm=algorithm, headers=headers)


async def verify(text: str, now: datetime = NOW, **given: Any) -> auth.Principal:
    return await auth.Verifier(settings(**(given or {"jwt_secret": SECRET}))).verify(text, now)


async def refused(text: str, now: datetime = NOW, **given: Any) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await verify(text, now, **given)
    return caught.value.message


def pem_of(key: PrivateKey, path: Path) -> Path:
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, public))
    return path


# ---------------------------------------------------------------- whom a token names


async def test_token_names_owner_role_and_tool() -> None:
    principal = await verify(token(role="operator", act="rebalancer"))
    assert principal == auth.Principal(
        issuer="steelyard",
        subject="ann",
        roles=frozenset({"operator"}),
        act="rebalancer",
        expires_at=NOW + timedelta(minutes=10),
    )


@pytest.mark.parametrize(
    ("role", "roles"),
    [
        (..., frozenset()),
        (None, frozenset()),
        ("operator", frozenset({"operator"})),
        (["viewer", "operator"], frozenset({"operator"})),
        ("emperor", frozenset()),
        ([], frozenset()),
    ],
)
async def test_only_known_roles_count(role: Any, roles: frozenset[str]) -> None:
    assert (await verify(token(role=role))).roles == roles


@pytest.mark.parametrize(("act", "tool"), [(..., None), (None, None), ("cli", "cli"), ({"sub": "cli"}, "cli")])
async def test_act_names_the_tool(act: Any, tool: str | None) -> None:
    assert (await verify(token(act=act))).act == tool


async def test_audience_may_be_one_of_several() -> None:
    assert (await verify(token(aud=["other", "steelyard"]))).subject == "ann"


# ---------------------------------------------------------------- what makes a token worthless


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": ...}, "the token has no claim 'exp'"),
        ({"iat": ...}, "the token has no claim 'iat'"),
        ({"sub": ...}, "the token has no claim 'sub'"),
        ({"aud": ...}, "the token has no claim 'aud'"),
        ({"iss": ...}, "the token has no claim 'iss'"),
        ({"iss": "elsewhere"}, "the token names another issuer or audience"),
        ({"aud": "elsewhere"}, "the token names another issuer or audience"),
        ({"exp": NOW_S}, "the token has expired"),
        ({"exp": NOW_S + 600.0}, "the token's exp, iat and nbf must be whole seconds"),
        ({"exp": str(NOW_S + 600)}, "the token's exp, iat and nbf must be whole seconds"),
        ({"iat": True}, "the token's exp, iat and nbf must be whole seconds"),
        ({"nbf": 1.5}, "the token's exp, iat and nbf must be whole seconds"),
        ({"iat": NOW_S + 61}, "the token is not valid yet"),
        ({"nbf": NOW_S + 61}, "the token is not valid yet"),
        ({"exp": NOW_S + 86_401}, "the token lives longer than 86400 s"),
        ({"exp": 10**400}, "the token lives longer than 86400 s"),
        ({"sub": ""}, "the token's sub must be 1 to 255 printable characters"),
        ({"sub": "x" * 256}, "the token's sub must be 1 to 255 printable characters"),
        ({"sub": "a\x00b"}, "the token's sub must be 1 to 255 printable characters"),
        ({"sub": "\ud800"}, "the token's sub must be 1 to 255 printable characters"),
        ({"role": 7}, "the token's role must be a string or a list of strings"),
        ({"role": ["operator", 7]}, "the token's role must be a string or a list of strings"),
        ({"act": ""}, 'the token\'s act must name a tool: a string, or {"sub": "NAME"}'),
        ({"act": {"name": "cli"}}, 'the token\'s act must name a tool: a string, or {"sub": "NAME"}'),
        ({"act": ["cli"]}, 'the token\'s act must name a tool: a string, or {"sub": "NAME"}'),
    ],
)
async def test_claim_out_of_order_is_refused(claims: dict[str, Any], reason: str) -> None:
    assert await refused(token(**claims)) == reason


async def test_numeric_sub_is_refused() -> None:
    assert await refused(token(sub=7)) == "the token is malformed or its signature does not fit"


async def test_token_is_good_until_its_last_second_and_issued_up_to_a_minute_ahead() -> None:
    assert (await verify(token(exp=NOW_S + 1))).expires_at == NOW + timedelta(seconds=1)
    assert (await verify(token(iat=NOW_S + 60))).subject == "ann"
    assert (await verify(token(exp=NOW_S + 86_400))).subject == "ann"
    assert await refused(token(), now=NOW + timedelta(seconds=600)) == "the token has expired"


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c", "....", "\ud800.a.b", "é.é.é"])
async def test_garbage_is_refused(text: str) -> None:
    assert await refused(text) == "the token is malformed or its signature does not fit"


async def test_huge_token_is_refused_unread() -> None:
    assert await refused("a" * 8193) == "the token is longer than 8192 characters"


async def test_foreign_secret_is_refused() -> None:
    text = token(key=secrets.token_hex(32))
    assert await refused(text) == "the token is malformed or its signature does not fit"


async def test_changed_claims_are_refused() -> None:
    head, _, signature = token().split(".")
    _, payload, _ = token(sub="bob").split(".")
    assert await refused(f"{head}.{payload}.{signature}") == "the token is malformed or its signature does not fit"


@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512"])
async def test_algorithm_outside_the_list_is_refused(algorithm: str) -> None:
    text = token(key=SECRET * 2 if algorithm != "none" else None, algorithm=algorithm)
    assert await refused(text) == "the token is not signed with a key that is known here"


@pytest.mark.parametrize("header", ["jku", "x5u", "jwk"])
async def test_token_that_brings_its_own_key_is_refused(header: str) -> None:
    reason = f"the token's header '{header}' brings its own key; only the keys set here count"
    assert await refused(token(headers={header: "https://evil.example/keys"})) == reason


async def test_hs256_is_off_without_a_secret(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    pem = pem_of(rsa_key, tmp_path / "key.pem")
    assert await refused(token(), jwt_key_file=pem) == "the token is not signed with a key that is known here"


async def test_public_key_is_never_taken_for_a_secret(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:

    pem = pem_of(rsa_key, tmp_path / "key.pem")
    signed = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "HS256"}, CLAIMS)
    )
    digest = hmac.new(pem.read_bytes(), signed.encode(), hashlib.sha256).digest()
    forged = f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    reason = "the token is not signed with a key that is known here"
    assert await refused(forged, jwt_key_file=pem) == reason
    assert await refused(forged, jwt_key_file=pem, jwt_secret=SECRET) == (
        "the token is malformed or its signature does not fit"
    )


# ---------------------------------------------------------------- keys from a PEM file


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "RS256"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ed25519.Ed25519PrivateKey.generate, "EdDSA"),
    ],
)
async def test_algorithm_follows_the_key_file(make: Callable[[], PrivateKey], algorithm: str, tmp_path: Path) -> None:
    key = make()
    pem = pem_of(key, tmp_path / "key.pem")
    assert (await verify(token(key, algorithm), jwt_key_file=pem)).subject == "ann"


async def test_rsa_key_is_good_for_rs256_alone(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    pem = pem_of(rsa_key, tmp_path / "key.pem")
    for algorithm in ("RS384", "RS512", "PS256"):
        reason = await refused(token(rsa_key, algorithm), jwt_key_file=pem)
        assert reason == "the token is not signed with a key that is known here"


@pytest.mark.parametrize(
    "make",
    [lambda: rsa.generate_private_key(65537, 1024), lambda: ec.generate_private_key(ec.SECP384R1())],
)
def test_key_file_with_another_key_is_named(make: Callable[[], PrivateKey], tmp_path: Path) -> None:
    pem = pem_of(make(), tmp_path / "key.pem")
    with pytest.raises(InvalidInput, match=r"STEELYARD_JWT_KEY_FILE .* an RSA key of at least 2048 bits"):
        auth.check(settings(jwt_key_file=pem))


def test_key_file_without_public_key_is_named(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(InvalidInput, match="STEELYARD_JWT_KEY_FILE cannot be read"):
        auth.check(settings(jwt_key_file=path))
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(rsa_key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    with pytest.raises(InvalidInput, match="holds no PEM public key"):
        auth.check(settings(jwt_key_file=path))


# ---------------------------------------------------------------- keys from the issuer's key set


class Issuer:
    """A key set on loopback that counts how often it is fetched."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.status = 200
        self.fetches = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                self.send_response(issuer.status)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": issuer.keys}).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"

    def publish(self, *keys: tuple[str, PrivateKey], **members: Any) -> None:
        self.keys = [{**_jwk(key), "kid": kid, "use": "sig", **members} for kid, key in keys]


def _jwk(key: PrivateKey) -> dict[str, Any]:
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return RSAAlgorithm.to_jwk(public, as_dict=True)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return ECAlgorithm.to_jwk(public, as_dict=True)
    return OKPAlgorithm.to_jwk(public, as_dict=True)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    thread = threading.Thread(target=issuer.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()
    thread.join()


UNKNOWN = "the token is not signed with a key that is known here"


async def test_keys_come_from_the_issuers_set_and_are_cached(issuer: Issuer, rsa_key: rsa.RSAPrivateKey) -> None:
    curve, edwards = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    issuer.publish(("r", rsa_key), ("c", curve), ("e", edwards))
    verifier = auth.Verifier(settings(jwt_jwks_url=issuer.url))
    for key, algorithm, kid in ((rsa_key, "RS256", "r"), (curve, "ES256", "c"), (edwards, "EdDSA", "e")):
        text = token(key, algorithm, {"kid": kid})
        assert (await verifier.verify(text, NOW)).subject == "ann"
    assert issuer.fetches == 1


async def test_made_up_key_ids_do_not_hammer_the_issuer(issuer: Issuer, rsa_key: rsa.RSAPrivateKey) -> None:
    issuer.publish(("r", rsa_key))
    verifier = auth.Verifier(settings(jwt_jwks_url=issuer.url))
    for kid in "abcdefgh":
        with pytest.raises(Unauthenticated, match=UNKNOWN):
            await verifier.verify(token(rsa_key, "RS256", {"kid": kid}), NOW)
    assert issuer.fetches == 1


async def test_token_without_key_id_is_refused_unfetched(issuer: Issuer, rsa_key: rsa.RSAPrivateKey) -> None:
    assert await refused(token(rsa_key, "RS256"), jwt_jwks_url=issuer.url) == UNKNOWN
    assert issuer.fetches == 0


async def test_new_key_is_found_and_withdrawn_key_forgotten(
    issuer: Issuer, rsa_key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "JWKS_COOLDOWN_S", 0.0)
    issuer.publish(("old", rsa_key))
    verifier = auth.Verifier(settings(jwt_jwks_url=issuer.url))
    old = token(rsa_key, "RS256", {"kid": "old"})
    await verifier.verify(old, NOW)
    renewed = ec.generate_private_key(ec.SECP256R1())
    issuer.publish(("new", renewed))
    assert (await verifier.verify(token(renewed, "ES256", {"kid": "new"}), NOW)).subject == "ann"
    with pytest.raises(Unauthenticated, match=UNKNOWN):
        await verifier.verify(old, NOW)


async def test_known_keys_outlive_an_outage_of_the_issuer_but_not_for_ever(
    issuer: Issuer, rsa_key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "JWKS_COOLDOWN_S", 0.0)
    monkeypatch.setattr(auth, "JWKS_LIFE_S", 0.0)
    issuer.publish(("r", rsa_key))
    verifier = auth.Verifier(settings(jwt_jwks_url=issuer.url))
    text = token(rsa_key, "RS256", {"kid": "r"})
    await verifier.verify(text, NOW)
    issuer.status = 503
    assert (await verifier.verify(text, NOW)).subject == "ann"
    monkeypatch.setattr(auth, "JWKS_STALE_S", 0.0)
    with pytest.raises(Unauthenticated, match=UNKNOWN):
        await verifier.verify(text, NOW)
    assert issuer.fetches == 3


async def test_secret_in_the_key_set_is_never_used(issuer: Issuer) -> None:
    issuer.keys = [{"kty": "oct", "kid": "s", "alg": "HS256", "k": "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE"}]
    assert await refused(token("A" * 32, "HS256", {"kid": "s"}), jwt_jwks_url=issuer.url) == UNKNOWN


async def test_key_stated_for_another_algorithm_is_not_used(issuer: Issuer, rsa_key: rsa.RSAPrivateKey) -> None:
    issuer.publish(("r", rsa_key), alg="RS512")
    assert await refused(token(rsa_key, "RS256", {"kid": "r"}), jwt_jwks_url=issuer.url) == UNKNOWN


@pytest.mark.parametrize("keys", [[], ["text"], [{"kty": "RSA"}], [7]])
async def test_garbage_in_the_key_set_is_no_failure_of_ours(
    keys: list[Any], issuer: Issuer, rsa_key: rsa.RSAPrivateKey
) -> None:
    issuer.keys = keys
    assert await refused(token(rsa_key, "RS256", {"kid": "r"}), jwt_jwks_url=issuer.url) == UNKNOWN


# ---------------------------------------------------------------- the command line's tokens


async def test_issued_token_is_accepted() -> None:
    given = settings(jwt_secret=SECRET)
    text = auth.issue(given, subject="ann", now=NOW, ttl_s=3600, role="operator", act="cli")
    assert await verify(text) == auth.Principal(
        "steelyard", "ann", frozenset({"operator"}), "cli", NOW + timedelta(hours=1)
    )


@pytest.mark.parametrize(
    ("secret", "arguments", "reason"),
    [
        ("", {}, "STEELYARD_JWT_SECRET is not set"),
        ("short", {}, "STEELYARD_JWT_SECRET has 5 bytes and needs at least 32"),
        (SECRET, {"ttl_s": 86_401}, "ttl is 86401 s; it must be 1 to 86400"),
        (SECRET, {"ttl_s": 0}, "ttl is 0 s; it must be 1 to 86400"),
        (SECRET, {"subject": ""}, "sub must be 1 to 255 printable characters"),
        (SECRET, {"role": "emperor"}, "role 'emperor' is not known; use operator"),
        (SECRET, {"act": "\n"}, "act must be 1 to 255 printable characters"),
    ],
)
def test_token_that_would_be_refused_is_not_issued(secret: str, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        auth.issue(settings(jwt_secret=secret), **{"subject": "ann", "now": NOW, "ttl_s": 60, **arguments})
    assert caught.value.message.startswith(reason)


# ---------------------------------------------------------------- the check at the start


@pytest.mark.parametrize(
    ("secret", "weakness"),
    [
        ("x7Kp" * 7, "has 28 bytes and needs at least 32"),
        ("ab" * 20, "has only 2 different characters and needs at least 10"),
        ("changeme" * 4, "has only 7 different characters"),
        ("0123456789abcdef0123456789abcdef", "repeats itself"),
        ("k7Qd2mZp9Xw4" * 3, "repeats itself"),
        ("abcdefghijklmnopqrstuvwxyz0123456789", "runs through the alphabet"),
        ("your-256-bit-secret-change-me-please", "is made of well-known words"),
        ("this-is-a-super-secret-jwt-key-for-production", "is made of well-known words"),
    ],
)
def test_weak_secret_stops_the_start(secret: str, weakness: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        auth.check(settings(jwt_secret=secret))
    assert f"STEELYARD_JWT_SECRET {weakness}" in caught.value.message
    assert "openssl rand -hex 32" in caught.value.message
    assert secret not in caught.value.message


def test_random_secrets_are_strong() -> None:
    for _ in range(200):
        auth.check(settings(jwt_secret=secrets.token_hex(32)))
        auth.check(settings(jwt_secret=secrets.token_urlsafe(32)))


def test_no_key_stops_the_start_outside_the_demo() -> None:
    with pytest.raises(InvalidInput, match="no key for tokens is set: set STEELYARD_JWT_KEY_FILE"):
        auth.check(settings())
    auth.check(settings(demo=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_demo_starts_on_loopback(host: str) -> None:
    auth.check(settings(demo=True, host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com", "localhost.example.com", ""])
def test_demo_does_not_start_elsewhere(host: str) -> None:
    with pytest.raises(InvalidInput, match=r"STEELYARD_HOST is .* the demo listens on loopback only"):
        auth.check(settings(demo=True, host=host))


@pytest.mark.parametrize("url", ["https://id.example.com/keys", "http://127.0.0.1:81/keys", "http://[::1]/keys"])
def test_trusted_key_set_address_is_taken(url: str) -> None:
    auth.check(settings(jwt_jwks_url=url))


@pytest.mark.parametrize("url", ["http://id.example.com/keys", "file:///etc/passwd", "https://", "keys", "http://[::1"])
def test_key_set_over_plain_http_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"STEELYARD_JWT_JWKS_URL is .* must be an https address"):
        auth.check(settings(jwt_jwks_url=url))


# ---------------------------------------------------------------- the header


@pytest.mark.parametrize("header", ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c"])
def test_bearer_token_is_read(header: str) -> None:
    assert auth.bearer(header) == "a.b.c"


@pytest.mark.parametrize(
    "header",
    [None, "", "a.b.c", "Bearer", "Bearer ", "Basic a.b.c", "Bearer a b", " Bearer a.b.c", "Bearer a,b", "Bearer a\n"],
)
def test_other_headers_are_refused(header: str | None) -> None:
    with pytest.raises(Unauthenticated, match="send `Authorization: Bearer TOKEN`"):
        auth.bearer(header)
