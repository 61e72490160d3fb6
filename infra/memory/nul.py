"""Postgres holds no NUL character in a text; its twins refuse one as well."""

from msgspec.json import encode

from schemas.errors import Unreadable


def refuse_nul(values: object) -> None:
    """Raises Unreadable. A backslash that somebody wrote is encoded as two of them: what follows those is no escape."""
    if b"\\u0000" in encode(values).replace(b"\\\\", b""):
        raise Unreadable("a text has a NUL character")
