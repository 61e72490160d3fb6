"""A record that is kept somewhere else than on its topic: in an export, or put aside for later."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class KeptRecord(NamedTuple):
    """As it lay on the topic, with the broker's stamp: what was void stays void."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, Any]]
    """Bytes; None where somebody sent a header without any."""
