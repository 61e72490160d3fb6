"""`/ops`: probes and consumer lag. They answer at once from what was last known, whatever hangs."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.answers import json_response
from api.lag import LagMonitor
from api.readiness import Readiness
from schemas.base import Value


class LivenessAnswer(Value, frozen=True, kw_only=True):
    alive: bool = True


class OpsRoutes:
    def __init__(self, readiness: Readiness, lag: LagMonitor, draining: asyncio.Event) -> None:
        self._readiness = readiness
        self._lag = lag
        self._draining = draining

    def routes(self) -> list[Route]:
        return [
            Route("/ops/liveness", self.liveness, methods=["GET"]),
            Route("/ops/readiness", self.readiness, methods=["GET"]),
            Route("/ops/lag", self.lag, methods=["GET"]),
        ]

    async def liveness(self, _: Request) -> Response:
        return json_response(LivenessAnswer())

    async def readiness(self, _: Request) -> Response:
        """A report rather than a problem, also with 503: it is read by people and probes, not by clients."""
        answer = self._readiness.answer(self._draining.is_set())
        return json_response(answer, 200 if answer.ready else 503)

    async def lag(self, _: Request) -> Response:
        return json_response(self._lag.answer())
