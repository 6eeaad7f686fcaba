"""What lies in the tree: no address of a registry, no path of a machine, nothing unfinished, nothing huge."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.house.sources import ROOT

HERE: Final = Path(__file__)
SKIPPED: Final = {"__pycache__", "build"}
TOOLS: Final = {"requirements.lock", "tests/requirements.lock", "schema.graphql", "tests/house/compose-spec.json"}
LONGEST: Final = 600

# Written in pieces, so that this page does not hold what it looks for.
UNWANTED: Final = {
    "an address of a package registry": r"pyp[i]\.org|pythonhosted\.org|inde[x]-url[= ]+\w|find-lin[k]s[= ]+\w",
    "a path of somebody's machine": r"(?<![\w./-])/(roo[t]|hom[e]|User[s]|wor[k])/\w",
    "something unfinished": r"\bTOD[O]\b|\bFIXM[E]\b|\bXX[X]\b|\bHAC[K]\b|NotImplemente[d]Error",
    "a number of an issue of ours": r"(?<!, )\b[Ii]ssu[e] #?[0-9]+",
    "the end of a conflict": r"^(<{7}|>{7}) ",
    "a private key": r"-----BEGIN [A-Z ]*PRIVAT[E] KEY",
}


def files() -> Iterator[Path]:
    """Yield what belongs to the tree: everything but what dot-names and builds hold, and the few dot-files we write."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        own = parts[0] in (".ci", ".gitignore", ".dockerignore")
        hidden = any(part.startswith(".") or part.endswith(".egg-info") or part in SKIPPED for part in parts)
        if path.is_file() and (own or not hidden):
            yield path


TEXTS: Final = {str(path.relative_to(ROOT)): path.read_text() for path in files()}


@pytest.mark.parametrize("what", UNWANTED)
def test_tree_does_not_hold(what: str) -> None:
    pattern = re.compile(UNWANTED[what], re.MULTILINE)
    found = {name: match[0] for name, text in TEXTS.items() if name not in TOOLS and (match := pattern.search(text))}
    assert found == {}


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("an address of a package registry", "https://py" + "pi.org/simple"),
        ("a path of somebody's machine", "see /ro" + "ot/notes"),
        ("something unfinished", "# TO" + "DO: later"),
        ("a number of an issue of ours", "as iss" + "ue 12 says"),
    ],
)
def test_what_is_not_wanted_would_be_found(what: str, text: str) -> None:
    assert re.search(UNWANTED[what], text)


def test_no_file_is_longer_than_a_person_reads() -> None:
    long = {name: count for name, text in TEXTS.items() if (count := text.count("\n")) > LONGEST}
    assert set(long) == TOOLS & set(long)


def test_files_are_text_and_end_with_a_line() -> None:
    assert [name for name, text in TEXTS.items() if name not in TOOLS and text and text[-1] != "\n"] == []
    assert [name for name, text in TEXTS.items() if "\r" in text or ("\t" in text and name != "Makefile")] == []


@pytest.mark.parametrize("lock", ["requirements.lock", "tests/requirements.lock"])
def test_every_locked_package_has_its_version_and_hashes(lock: str) -> None:
    lines = re.sub(r"\\\n\s*", "", TEXTS[lock]).splitlines()
    packages = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert len(packages) > 50
    for package in packages:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==[^ ]+ ", package), package[:60]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", package), package[:60]
    assert not re.search(r"^-|://", TEXTS[lock], re.MULTILINE)


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads(TEXTS["pyproject.toml"])["project"]

    def names(wanted: list[str]) -> set[str]:
        return {re.split(r"[\[<>=!~; ]", one)[0].lower().replace("_", "-") for one in wanted}

    def locked(lock: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==", TEXTS[lock], re.MULTILINE))

    extras = project["optional-dependencies"]
    assert names(project["dependencies"] + extras["install"]) - locked("requirements.lock") == set()
    assert names(extras["dev"]) - locked("tests/requirements.lock") == set()
    assert locked("requirements.lock") - locked("tests/requirements.lock") == set()


def test_locks_agree() -> None:
    def versions(lock: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==([^ ]+)", TEXTS[lock], re.MULTILINE))

    tools = versions("tests/requirements.lock")
    assert {name: tools.get(name) for name in versions("requirements.lock")} == versions("requirements.lock")
