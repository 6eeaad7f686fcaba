"""Who may import whom. The contracts stand in pyproject.toml; `lint-imports` tells the same."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from tests.house.sources import ROOT

FOLDERS = {"app", "workers", "tests", "docs"}
FILES = {
    *("pyproject.toml", "schema.graphql", "docker-compose.yml", "README.md", "Makefile", "requirements.lock"),
    *("Dockerfile", "LICENSE", "CHANGELOG.md"),
}


def test_rooms_import_only_what_they_may(capsys: pytest.CaptureFixture[str]) -> None:
    kept = lint_imports(str(ROOT / "pyproject.toml"), no_cache=True) == 0
    assert kept, capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "line", "found"),
    [
        ("app/core/money.py", "import app.store.db", "app.core.money -> app.store.db"),
        ("app/core/money.py", "import asyncio", "app.core.money -> asyncio"),
        ("app/actions/pages.py", "import asyncpg", "app.actions.pages -> asyncpg"),
        ("app/api/paging.py", "from app.store import db", "app.api.paging -> app.store.db"),
        ("app/store/db.py", "import workers.main", "app.store.db -> workers.main"),
    ],
)
def test_import_that_is_not_allowed_is_found(tmp_path: Path, module: str, line: str, found: str) -> None:
    """The contracts are not empty: a copy of the house with one wrong door is refused."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in ("app", "workers"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / module).write_text(f"{line}\n" + (tmp_path / module).read_text())
    run = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", run], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert found in done.stdout


def test_top_of_the_house_holds_what_the_plan_of_it_says() -> None:
    there = {path.name for path in ROOT.iterdir() if not path.name.startswith(".") and path.suffix != ".egg-info"}
    assert there - FOLDERS - FILES - {"build", "__pycache__"} == set()
