"""Rules and dashboard speak of what running processes export: an alert on a name that is not there never fires."""

import asyncio
from collections import defaultdict
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.local.stack import Stack
from tests.monitoring.rules import Selector, alerts, dashboard_queries, rules, selectors
from tests.product import Client, Product

OF_PROMETHEUS = {"up", "ALERTS"}
OF_SCRAPING = {"job", "process", "instance"}
"""Labels that `prometheus.yml` gives."""
READY_WITHIN_S = 60


class Exported:
    """By the name of a sample: the values of each label."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.names: set[str] = set()

    def take(self, text: str) -> None:
        for family in text_string_to_metric_families(text):
            ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(
                family.type, ("",)
            )
            self.names |= {family.name + end for end in ends}
            for sample in family.samples:
                for label, value in sample.labels.items():
                    self.labels[sample.name][label].add(value)

    def lacks(self, selector: Selector) -> str | None:
        if selector.metric not in self.names:
            return f"no process exports {selector.metric}"
        known = self.labels[selector.metric]
        if not known:
            return None  # nothing has happened yet of which it tells
        for label, operator, value in selector.matchers:
            if label in OF_SCRAPING:
                continue
            if label not in known:
                return f"{selector.metric} has no label {label}"
            if operator == "=" and value not in known[label]:
                return f"{selector.metric} never has {label}={value}: the first one would be no increase"
        return None


@pytest.mark.integration
async def test_every_metric_that_is_asked_for_is_exported_by_a_running_process(
    stack: Stack, tmp_path: Path
) -> None:
    product = Product(
        stack,
        tmp_path,
        verifiers=1,
        circuit_writers=1,
        metrics_workers=1,
        experiment_analyzers=1,
        webhook_dispatchers=1,
    )
    client = Client(product)
    try:
        await product.start()
        assert (await client.pay("exported-1")).status in {201, 202, 402}
        forced = await client.order(
            "/circuit-breaker/force-open/razorpay/UPI", {"note": "drill", "by": "asha"}
        )
        assert forced.status == 200
        ours = [service for service in product.services if service is not product.simulator]
        missing = await _missing([service.url for service in ours])
    finally:
        await client.close()
        await product.stop()
    assert not missing


async def _missing(urls: list[str]) -> list[str]:
    """What is not exported yet when it should be: the numbers of a store are counted now and then."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    queries = [*(rule["expr"] for rule in rules()), *dashboard_queries()]
    wanted = {s for query in queries for s in selectors(query)}
    wanted = {s for s in wanted if s.metric not in recorded | OF_PROMETHEUS}
    missing = ["nothing was scraped"]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        for _ in range(READY_WITHIN_S):
            exported = Exported()
            for url in urls:
                async with http.get(f"{url}/metrics") as answer:
                    exported.take(await answer.text())
            missing = sorted({lack for selector in wanted if (lack := exported.lacks(selector))})
            if not missing:
                break
            await asyncio.sleep(1)
    return missing


def test_all_of_what_there_is_an_alert_on_is_looked_up() -> None:
    assert len({s.metric for alert in alerts() for s in selectors(alert["expr"])}) > 25


@pytest.mark.parametrize(
    ("query", "lack"),
    [
        ('rate(told_total{event="first"}[5m])', None),
        ('rate(told_total{event=~"second|third"}[5m])', None),
        ('up{process="api"}', "no process exports up"),
        ("told", "no process exports told"),
        ('told_total{kind="first"}', "told_total has no label kind"),
        (
            'told_total{event="second"}',
            "told_total never has event=second: the first one would be no increase",
        ),
        ("slow_seconds_bucket", None),
    ],
)
def test_what_no_process_exports_is_named(query: str, lack: str | None) -> None:
    exported = Exported()
    exported.take(
        '# TYPE told_total counter\ntold_total{event="first"} 0\n'
        '# TYPE slow_seconds histogram\nslow_seconds_bucket{le="1"} 0\n'
    )
    (selector,) = selectors(query)
    assert exported.lacks(selector) == lack
