"""The servers and services of a developer's machine: started, watched and stopped without Docker."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout; services run from here."""

LOCAL = ROOT / ".local"
"""Everything that running locally leaves behind: ignored by git, safe to delete while nothing runs."""

RUN_FOLDER = LOCAL / "run"
"""Data and logs of `./dev run`; tests have their own."""


class LocalError(Exception):
    """Something a developer can put right; the message says what, and which log to read."""
