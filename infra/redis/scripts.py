"""Lua lives in `.lua` files: what they do is done by Redis in one step."""

from pathlib import Path

from infra.redis.connection import Client


def script(redis: Client, name: str) -> Client:
    """To be called with `keys` and `args`."""
    return redis.register_script((Path(__file__).parent / f"{name}.lua").read_text())
