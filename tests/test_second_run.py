"""Few failures get a second run and are named; many, and those about safety, do not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ONCE = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range({count}))
{marked}
def test_fails_once(number):
    seen = Path(f"seen {{number}}")
    is_first = not seen.exists()
    seen.touch()
    assert not is_first
"""
CRASHES_ONCE = """
import os
from pathlib import Path

def test_crashes_once():
    seen = Path("seen")
    if not seen.exists():
        seen.touch()
        os._exit(1)
"""
ALWAYS = "def test_fails(): assert False"


def second_run(folder: Path, tests: str) -> tuple[int, str]:
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = safety\n")
    (folder / "test_it.py").write_text(tests)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.second_run", "-p", "no:schemathesis"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout


def failing_once(count: int, marked: str = "") -> str:
    return ONCE.format(count=count, marked=marked)


@pytest.mark.parametrize("count", [1, 3])
def test_a_few_that_pass_then_are_named(tmp_path: Path, count: int) -> None:
    code, said = second_run(tmp_path, failing_once(count))
    assert code == 0
    named = said.partition("FAILED ONCE")[2].splitlines()[1:]
    assert named == [f"   test_it.py::test_fails_once[{number}]" for number in range(count)]


@pytest.mark.parametrize(
    "tests", [ALWAYS, failing_once(1) + ALWAYS, "this is no test"], ids=["alone", "beside another", "no test"]
)
def test_what_fails_again_fails(tmp_path: Path, tests: str) -> None:
    code, said = second_run(tmp_path, tests)
    assert code != 0
    assert "FAILED ONCE" not in said


@pytest.mark.parametrize("tests", [failing_once(4), failing_once(1, "@pytest.mark.safety")])
def test_many_and_those_about_safety_are_not_run_again(tmp_path: Path, tests: str) -> None:
    code, said = second_run(tmp_path, tests)
    assert code == 1
    assert "Once more" not in said


def test_nothing_is_run_again_where_a_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "test_unreadable.py").write_text("this is no test")
    code, said = second_run(tmp_path, failing_once(1))
    assert code == 1
    assert "Once more" not in said


def test_nothing_is_run_again_where_a_process_has_crashed(tmp_path: Path) -> None:
    (tmp_path / "test_crash.py").write_text(CRASHES_ONCE)
    code, said = second_run(tmp_path, "def test_passes(): assert True")
    assert code != 0
    assert "Once more" not in said


def test_what_passes_runs_once(tmp_path: Path) -> None:
    code, said = second_run(tmp_path, "def test_passes(): assert True")
    assert code == 0
    assert said.count("1 passed") == 1
    assert "Once more" not in said
