"""What Linux tells about processes in /proc: who a pid is, what it has started, what it has used."""

import os
from pathlib import Path
from typing import NamedTuple

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Stat(NamedTuple):
    state: str
    parent: int
    cpu_ticks: int
    start_ticks: int
    resident_pages: int

    @property
    def alive(self) -> bool:
        """A zombie has ended; it only waits for its parent to ask how."""
        return self.state not in "ZX"


def stat(pid: int) -> Stat | None:
    """The process as it is now, or None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name, in brackets, and may itself hold blanks and brackets.
    fields = text.rpartition(")")[2].split()
    return Stat(
        state=fields[0],
        parent=int(fields[1]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        start_ticks=int(fields[19]),
        resident_pages=int(fields[21]),
    )


def identity(pid: int) -> str | None:
    """The boot and the tick it started at: no other process that had or will have this pid shares them."""
    found = stat(pid)
    if found is None or not found.alive:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{found.start_ticks}"


def tree(pid: int) -> list[int]:
    """The process first, then all that descend from it: PostgreSQL's children leave its process group."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (found := stat(int(entry.name))):
            children.setdefault(found.parent, []).append(int(entry.name))
    family = [pid]
    for member in family:
        family.extend(children.get(member, []))
    return family
