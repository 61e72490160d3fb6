"""The end of an experiment as it was seen first, by whichever process."""

from datetime import datetime

from schemas.base import Value


class SeenEnd(Value, frozen=True, kw_only=True):
    version: int
    """Of the experiment then: what happens to it afterwards makes another end."""
    at: datetime
    offsets: dict[int, int]
    """Where the payments' partitions ended then."""
