"""What a worker tells those who operate it: `/ops/liveness`, `/ops/readiness`, `/metrics`."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST


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

    async def metrics(request: web.Request) -> web.Response:
        body = generate_latest(registry) + generate_latest()  # the worker's own, and what the adapters count
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

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
