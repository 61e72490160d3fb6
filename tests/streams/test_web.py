"""What a worker exports, as those who scrape it read it."""

import aiohttp
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from infra.local.ports import free_ports
from projections.absorption import Counts
from streams.metrics import ProjectionMetrics
from streams.watchdog import Watchdog
from streams.web import serve


class Log:
    async def end_offsets(self, topic: str) -> dict[int, int]:
        return {}


class Views:
    async def watermarks(self) -> dict[tuple[str, int], object]:
        return {}


def projection(name: str, dead: int) -> ProjectionMetrics:
    watchdog = Watchdog("topic", Log(), Views(), lambda: 0, lambda: ())  # type: ignore[arg-type]
    return ProjectionMetrics(name, Counts(dead=dead), watchdog, lambda: 0)


async def scraped(registry: CollectorRegistry, complaint: str | None) -> str:
    address = ("127.0.0.1", free_ports(1)[0])
    runner = await serve(address, lambda: complaint, registry)
    try:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{address[1]}/metrics") as answer,
        ):
            return await answer.text()
    finally:
        await runner.cleanup()


async def test_a_name_is_told_once_with_all_its_samples_though_a_worker_has_two_projections() -> None:
    registry = CollectorRegistry()
    registry.register(projection("forwarder", dead=1))
    registry.register(projection("circuits", dead=2))
    text = await scraped(registry, None)
    types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    dead = {
        sample.labels["projection"]: sample.value
        for sample in samples
        if sample.name == "projection_records_total" and sample.labels["result"] == "dead"
    }
    assert dead == {"forwarder": 1, "circuits": 2}


async def test_whether_it_is_ready_is_exported_too() -> None:
    assert "payments_gateway_ready 1.0" in await scraped(CollectorRegistry(), None)
    assert "payments_gateway_ready 0.0" in await scraped(CollectorRegistry(), "stalled partitions: 3")
