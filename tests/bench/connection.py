"""One HTTP/1.1 keep-alive connection, one request in flight at most, as little Python as will do."""

import asyncio
from typing import Protocol, cast

import httptools


class Owner(Protocol):
    def answered(
        self, connection: "Connection", status: int, headers: dict[bytes, bytes], body: bytes
    ) -> None: ...

    def lost(self, connection: "Connection", reason: str) -> None: ...


class Connection(asyncio.Protocol):
    """`due` and `deadline` belong to the request in flight, and are moments on the owner's clock."""

    def __init__(self, owner: Owner, wanted_headers: frozenset[bytes]) -> None:
        self._owner = owner
        self._wanted = wanted_headers
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._headers: dict[bytes, bytes] = {}
        self._body = b""
        self._complaint = ""
        self.busy = False
        self.sequence = -1
        self.due = 0.0
        self.deadline = 0.0

    def send(self, request: bytes, sequence: int, due: float, deadline: float) -> None:
        assert self._transport is not None
        assert not self.busy
        self.busy, self.sequence, self.due, self.deadline = True, sequence, due, deadline
        self._transport.write(request)

    def give_up(self, reason: str) -> None:
        """Hangs up; the owner hears of it through `lost`, by this reason."""
        self._complaint = self._complaint or reason
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.give_up(type(error).__name__)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._owner.lost(self, self._complaint or (type(exc).__name__ if exc else "ClosedByServer"))

    # What the parser finds.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._wanted and name.lower() in self._wanted:
            self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        headers, body = self._headers, self._body
        if headers:
            self._headers = {}
        self._body = b""
        status, reusable = self._parser.get_status_code(), self._parser.should_keep_alive()
        if not self.busy:
            self.give_up("UnaskedAnswer")
            return
        self.busy = False
        if not reusable:
            self.give_up("ClosedByServer")
        self._owner.answered(self, status, headers, body)

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()
