"""All tests, side by side, and the few that failed once more, alone: `python -m tests.second_run [PYTEST-ARGS]`.

What must not happen even once is marked `safety` and never gets a second run. ADR 15 says why the rest may.
"""

import os
import subprocess
import sys

import pytest

SERVERS = ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "REDIS_URL")
"""Who names one in the environment has one, which two processes cannot share."""
SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--max-worker-restart", "0")
"""Two processes with servers of their own, each a file at a time, in order: those that take longest come early.
One that crashes ends the run."""
MOST = 3
"""When more than these failed, something is broken."""


class Witness:
    """Sees what failed, and whether it may be run again."""

    def __init__(self) -> None:
        self.failed: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of any phase of a test. The report of one that took its process with it has no keywords."""
        if report.failed:
            self.failed[report.nodeid] = bool(report.keywords) and "safety" not in report.keywords

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed[report.nodeid] = False


def main(arguments: list[str]) -> int:
    witness = Witness()
    processes = () if any(map(os.environ.get, SERVERS)) else SIDE_BY_SIDE
    code = pytest.main([*processes, *arguments], plugins=[witness])
    if code != pytest.ExitCode.TESTS_FAILED or not may_run_again(witness.failed):
        return int(code)
    names = list(witness.failed)
    print("\n== Once more, with servers of their own:", *names, sep="\n   ", flush=True)
    again = subprocess.run([sys.executable, "-m", "pytest", *arguments, *names], check=False)
    if again.returncode == pytest.ExitCode.OK:
        print("\n== FAILED ONCE, and not again; each has a cause that is worth finding:", *names, sep="\n   ")
    return again.returncode


def may_run_again(failed: dict[str, bool]) -> bool:
    return 0 < len(failed) <= MOST and all(failed.values())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
