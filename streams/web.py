"""What a worker tells those who operate it: `/ops/liveness`, `/ops/readiness`, `/metrics`."""

from collections.abc import Callable, Iterator

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from infra.metrics import READY


class Everything(Collector):
    """A worker's own metrics and what the adapters count. A worker may have two projections: of a name there is one
    family, as the format wants it."""

    def __init__(self, own: CollectorRegistry) -> None:
        self._own = own

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for registry in (self._own, REGISTRY):
            for family in registry.collect():
                if (known := families.setdefault(family.name, family)) is not family:
                    known.samples.extend(family.samples)
        yield from families.values()


async def serve(
    address: tuple[str, int], complaint: Callable[[], str | None], registry: CollectorRegistry
) -> web.AppRunner:
    """Readiness answers 503 with the complaint while there is one. Ends with `cleanup()` of what is returned."""

    async def liveness(request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readiness(request: web.Request) -> web.Response:
        reason = complaint()
        if reason is None:
            return web.json_response({"status": "ready"})
        return web.json_response({"status": "not ready", "reason": reason}, status=503)

    everything = CollectorRegistry()
    everything.register(Everything(registry))

    async def metrics(request: web.Request) -> web.Response:
        READY.set(complaint() is None)
        return web.Response(body=generate_latest(everything), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes(
        [
            web.get("/ops/liveness", liveness),
            web.get("/ops/readiness", readiness),
            web.get("/metrics", metrics),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, *address).start()
    return runner
