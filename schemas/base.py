"""The bases of everything on the wire.

Both words, `frozen` and `kw_only`, are repeated on every class: type checkers do not inherit them. What cannot be
changed cannot come to hold itself, so the garbage collector need not look at it (`gc=False`).
"""

import msgspec


class Value(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A part of an event, command or view; unknown fields are skipped, so that old readers survive new writers."""


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag=True):
    """Something that happened. Fields are only ever added, with defaults; never renamed, retyped or reused."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Something asked of a decider, with every outside fact (time, ids, candidates) it needs."""


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client sends. Unknown fields are refused: a misspelt option must not be silently ignored."""
