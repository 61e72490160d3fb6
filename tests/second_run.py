"""All tests, side by side, and the few that failed once more, alone: `python -m tests.second_run [PYTEST-ARGS]`.

What must not happen even once is marked `safety` and never gets a second run. ADR 15 says why the rest may.
"""

import subprocess
import sys

import pytest

SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
"""Two processes with servers of their own, each a file at a time, in order: those that take longest come early."""
MOST = 3
"""When more than these failed, something is broken."""


class Witness:
    """Sees which tests failed, in any of their phases, and whether any of them is about safety."""

    def __init__(self) -> None:
        self.failed: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed[report.nodeid] = "safety" in report.keywords


def main(arguments: list[str]) -> int:
    witness = Witness()
    code = pytest.main([*SIDE_BY_SIDE, *arguments], plugins=[witness])
    if code != pytest.ExitCode.TESTS_FAILED or not may_run_again(witness.failed):
        return int(code)
    names = list(witness.failed)
    print("\n== Once more, with servers of their own:", *names, sep="\n   ", flush=True)
    again = subprocess.run([sys.executable, "-m", "pytest", *arguments, *names], check=False)
    if again.returncode == pytest.ExitCode.OK:
        print("\n== FAILED ONCE, then passed; each has a cause that is worth finding:", *names, sep="\n   ")
    return again.returncode


def may_run_again(failed: dict[str, bool]) -> bool:
    return 0 < len(failed) <= MOST and not any(failed.values())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
