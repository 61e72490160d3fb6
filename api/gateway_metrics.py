"""`GET /metrics/gateways/{name}`: what the windows of a gateway are now, as the metrics worker published it."""

from collections.abc import Collection
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.answers import json_response
from api.errors import Fault, Rejected
from projections.figures import window_figures
from schemas.errors import StoreUnavailable
from schemas.metrics import WINDOWS_MIN, GatewayFigures, Published


class PublishedMetrics(Protocol):
    async def figures(self, gateway: str) -> tuple[bytes | None, Published | None]:
        """JSON of GatewayFigures, if it has any; what was published last, if anything was lately.

        Raises StoreUnavailable.
        """


class GatewayMetricsRoutes:
    def __init__(self, published: PublishedMetrics, gateways: Collection[str]) -> None:
        self._published = published
        self._gateways = gateways

    def routes(self) -> list[Route]:
        return [Route("/metrics/gateways/{name}", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """Success rates have their Wilson score interval at 95 %; latencies are within 1 %."""
        name: str = request.path_params["name"]
        if name not in self._gateways:
            raise Rejected(Fault.NO_SUCH_GATEWAY, "There is no gateway of this name.")
        figures, published = await self._published.figures(name)
        if published is None:
            raise StoreUnavailable("nothing is published")
        if figures is not None:
            return Response(figures, media_type="application/json")
        return json_response(
            GatewayFigures(
                gateway=name,
                version=published.version,
                as_of=published.as_of,
                total=window_figures({} for _ in WINDOWS_MIN),
                methods={},
            )
        )
