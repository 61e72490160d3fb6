"""`/openapi.json`, `/asyncapi.json` and `/docs`: the contract, made once in a process."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.contract.asyncapi import asyncapi
from api.contract.openapi import openapi
from api.contract.page import page

_STYLE = Path(__file__).with_name("style.css")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
}
"""The page needs its style, and nothing else from anywhere."""


class _File(NamedTuple):
    path: str
    content: bytes
    media_type: str


def routes() -> list[Route]:
    return [_showing(file) for file in _files()]


@cache
def _files() -> Sequence[_File]:
    http, topics = openapi(), asyncapi()
    return (
        _File("/openapi.json", msgspec.json.encode(http), "application/json"),
        _File("/asyncapi.json", msgspec.json.encode(topics), "application/json"),
        _File("/docs", page(http, topics).encode(), "text/html"),
        _File("/docs/style.css", _STYLE.read_bytes(), "text/css"),
    )


def _showing(file: _File) -> Route:
    async def show(_: Request) -> Response:
        return Response(file.content, 200, _HEADERS, file.media_type)

    return Route(file.path, show, methods=["GET"])
