"""The compose file and the image against the Compose Specification, our settings and our rules."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from jsonschema import Draft202012Validator

from app.courier import mail
from app.settings import Settings

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
# The schema of the Compose Specification, whole, as check-jsonschema 0.39.0 carries it; its licence lies beside it.
SPEC_SHA256 = "d549057ebc2925f39f62799eab0db7b9e2c18b35b6c00595199116da3ed10e64"

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"roles", "migrate"}
OURS = {"migrate", "api", "worker-light", "worker-heavy"}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SECRETS = {
    "POSTGRES_PASSWORD",
    "POSTGRES_OWNER_PASSWORD",
    "POSTGRES_APP_PASSWORD",
    "VALKEY_PASSWORD",
    "STEELYARD_JWT_SECRET",
}


def interpolated(value: str, secret: str = "s3cret") -> str:
    """Read a value as compose does, with every variable set to `secret`."""
    return re.sub(r"\$\{[A-Z_]+:\?[^}]*\}", secret, value).replace("$$", "$")


def command_of(service: str) -> list[str]:
    return [interpolated(word) for word in SERVICES[service]["command"]]


def instructions() -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    lines = [line.split(" ", 1) for line in joined.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, rest in lines]


def test_compose_file_is_what_the_specification_allows() -> None:
    text = (HERE / "compose-spec.json").read_bytes()
    assert hashlib.sha256(text).hexdigest() == SPEC_SHA256
    assert "Apache License" in (HERE / "compose-spec.LICENSE").read_text()
    validator = Draft202012Validator(json.loads(text))
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    wrong = {**COMPOSE, "services": {"api": {**SERVICES["api"], "read_onyl": True}}}
    assert any("read_onyl" in str(error.message) for error in validator.iter_errors(wrong))


def test_services_are_these_and_start_after_what_they_need() -> None:
    assert set(SERVICES) == {"postgres", "valkey"} | ONE_SHOT | OURS
    needed = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    waits = {name: {on: how["condition"] for on, how in needs.items()} for name, needs in needed.items()}
    after_migrations = {"migrate": "service_completed_successfully", "valkey": "service_healthy"}
    assert waits == {
        "postgres": {},
        "valkey": {},
        "roles": {"postgres": "service_healthy"},
        "migrate": {"roles": "service_completed_successfully"},
        "api": after_migrations,
        "worker-light": after_migrations,
        "worker-heavy": after_migrations,
    }


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_hardened(name: str) -> None:
    service = SERVICES[name]
    user, group = (int(part) for part in service["user"].split(":"))
    assert min(user, group) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] == 256
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & set(service)
    assert all(":" in volume and not volume.startswith((".", "/", "~")) for volume in service.get("volumes", []))
    assert re.fullmatch(r"[a-z/]+:[0-9][0-9.]*", service["image"])
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_service_that_runs_on_says_how_it_is(name: str) -> None:
    healthcheck = SERVICES[name]["healthcheck"]
    assert healthcheck["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries", "start_period"} <= set(healthcheck)


def test_only_the_api_is_reached_from_outside_and_only_from_this_machine() -> None:
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "api": ["127.0.0.1:8000:8000"]
    }
    assert COMPOSE["networks"]["data"] == {"internal": True}
    assert {name for name, service in SERVICES.items() if service["networks"] != ["data"]} == {
        *("api", "worker-light", "worker-heavy")
    }


def test_there_are_no_default_secrets() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"\$\{([A-Z_]+)", text)) == SECRETS
    assert len(re.findall(r"\$\{", text)) == len(re.findall(r"\$\{[A-Z_]+:\?[^}]+\}", text))
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|AUTH|URL", name):
                assert "${" in value, name
    assert not re.search("(?i)password|secret", DOCKERFILE)


@pytest.mark.parametrize("name", sorted(OURS))
def test_variables_of_the_services_are_settings_that_take_these_values(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = SERVICES[name]["environment"]
    known = {field.validation_alias or f"STEELYARD_{key.upper()}" for key, field in Settings.model_fields.items()}
    baked = dict(re.findall(r"(STEELYARD_[A-Z_]+)=(\S+)", DOCKERFILE))
    assert set(given) | set(baked) <= known
    for key, value in (baked | given).items():
        monkeypatch.setenv(key, interpolated(value, "5" * 32))
    settings = Settings()
    assert urlsplit(settings.database_url).username == "steelyard_app"
    assert settings.host == "0.0.0.0"
    assert not settings.demo


def test_settings_for_mail_in_the_docs_are_settings_and_fit_beside_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "compose.md").read_text(), re.DOTALL)
    added = yaml.safe_load(text)
    schema = json.loads((HERE / "compose-spec.json").read_bytes())
    assert [error.message for error in Draft202012Validator(schema).iter_errors(added)] == []
    assert set(added["services"]) == OURS - {"migrate"}
    for service in added["services"].values():
        assert set(service) == {"environment"}
        for key, value in service["environment"].items():
            monkeypatch.setenv(key, value)
        settings = Settings()
        mail.check(settings.smtp_url, settings.mail_from)
        assert settings.smtp_url


def test_only_migrate_has_the_role_that_owns_the_tables_and_only_the_api_the_secret_of_tokens() -> None:
    owners = {name for name, service in SERVICES.items() if "steelyard_owner" in str(service.get("environment"))}
    signers = {name for name, service in SERVICES.items() if "STEELYARD_JWT_SECRET" in service.get("environment", {})}
    assert (owners, signers) == ({"migrate"}, {"api"})


def test_stopping_gives_open_work_its_time() -> None:
    graces = {name: SERVICES[name]["stop_grace_period"] for name in set(SERVICES) - ONE_SHOT}
    assert (
        min(int(grace.removesuffix("s")) for grace in graces.values()) > Settings.model_fields["stop_timeout_s"].default
    )


def test_image_is_built_from_pinned_tags_with_hashes_and_runs_as_nobody_special() -> None:
    steps = instructions()
    assert [rest for word, rest in steps if word == "FROM"] == [
        "python:3.11-slim-bookworm AS build",
        "python:3.11-slim-bookworm",
    ]
    words = [word for word, _ in steps]
    last = words[len(words) - words[::-1].index("FROM") :]
    assert last == ["RUN", "COPY", "COPY", "WORKDIR", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "CMD"]
    assert dict(steps)["USER"] == SERVICES["api"]["user"]
    assert json.loads(dict(steps)["CMD"]) == SERVICES["api"]["command"]
    installs = [rest for word, rest in steps if word == "RUN" and "pip install" in rest]
    assert len(installs) == 2
    assert "--require-hashes -r requirements.lock" in installs[0]
    assert "--no-build-isolation -e ." in installs[1]
    assert not re.search(r"://|\bADD\b|--index-url", DOCKERFILE)


def test_image_is_made_of_files_that_exist_and_are_let_in() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {
        word
        for step, rest in instructions()
        if step == "COPY" and not rest.startswith("--from")
        for word in rest.split()[:-1]
    }
    assert ignored[1] == "*"
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
