"""The suite itself: two processes may share it, but not the tests of a folder."""

import re
import subprocess
import sys
from collections import defaultdict
from typing import Final

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
