"""The suite itself: two processes may share it, but not the tests of a folder."""

import re
import subprocess
import sys
from collections import defaultdict
from typing import Final

from tests.conftest import COMPILED_FOLDER, FIRST_FOLDERS, folder_of
from tests.house.sources import ROOT

TWO_FOLDERS: Final = ("tests/core/test_errors.py", "tests/core/test_ids.py", "tests/house/test_clock.py")


def test_tests_of_a_folder_stay_in_one_process() -> None:
    run = (sys.executable, "-m", "pytest", "-v", "-n", "2", *TWO_FOLDERS)
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    processes = defaultdict(set)
    for process, folder in re.findall(r"^\[(\w+)\] .* PASSED tests/(\w+)/", done.stdout, re.MULTILINE):
        processes[folder].add(process)
    assert {folder: len(names) for folder, names in processes.items()} == {"core": 1, "house": 1}


def test_folders_that_come_first_and_last_are_there() -> None:
    tests = {str(path.parent.relative_to(ROOT / "tests")) for path in (ROOT / "tests").rglob("test_*.py")}
    assert {*FIRST_FOLDERS, COMPILED_FOLDER} <= tests
    assert folder_of(f"tests/{COMPILED_FOLDER}/test_curve.py::test_a_hull[1/2]") == COMPILED_FOLDER
