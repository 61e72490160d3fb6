"""The machine a figure was measured on: without it, a figure says nothing."""

import os
import platform
import re
from pathlib import Path

from msgspec import Struct


class Machine(Struct, frozen=True, kw_only=True):
    cpu_model: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    load_average_1m: float

    def sentence(self) -> str:
        return (
            f"{self.cpu_model}, {self.cores} cores, {self.memory_gib:.1f} GiB, {self.kernel}, "
            f"Python {self.python}, load average {self.load_average_1m:.2f} at the start"
        )


def this_machine() -> Machine:
    return Machine(
        cpu_model=_found(r"model name\s*: (.+)", "/proc/cpuinfo") or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(int(_found(r"MemTotal:\s*(\d+)", "/proc/meminfo") or 0) / 2**20, 1),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load_average_1m=os.getloadavg()[0],
    )


def _found(pattern: str, file: str) -> str:
    match = re.search(pattern, Path(file).read_text())
    return match.group(1).strip() if match else ""
