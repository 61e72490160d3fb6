"""What those who watch the verifier are told."""

import asyncio
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry

from schemas.errors import StoreUnavailable
from schemas.ids import GatewayId
from schemas.verification import Backlog, Due
from streams.verification_metrics import VerificationMetrics
from tests.projections.story import BEGIN_MS, PAYMENT

BACKLOG = Backlog(
    due={GatewayId("alpha"): Due(payments=3, oldest_ms=1_500)},
    unused_messages=2,
    oldest_message_ms=7_000,
    unsettled=7,
    oldest_unsettled=PAYMENT,
    in_review=1,
    to_give_back=2,
    oldest_to_give_back_ms=90_000,
)


async def counted() -> Backlog:
    return BACKLOG


async def away() -> Backlog:
    raise StoreUnavailable("away")


async def looked(metrics: VerificationMetrics) -> CollectorRegistry:
    """The registry after the first look at the store."""
    watching = asyncio.create_task(metrics.watch())
    await asyncio.sleep(0.01)
    watching.cancel()
    registry = CollectorRegistry()
    registry.register(metrics)
    return registry


async def test_the_backlog_is_told_by_gateway_with_its_age() -> None:
    metrics = VerificationMetrics(counted, Counter(ended=4), Counter(old=9), lambda: BEGIN_MS + 60_000)
    registry = await looked(metrics)

    of_alpha = {"gateway": "alpha"}
    assert registry.get_sample_value("payments_gateway_verification_due", of_alpha) == 3
    assert registry.get_sample_value("payments_gateway_verification_due_oldest_seconds", of_alpha) == 1.5
    assert registry.get_sample_value("payments_gateway_unsettled") == 7
    assert registry.get_sample_value("payments_gateway_unsettled_oldest_seconds") == pytest.approx(60)
    assert registry.get_sample_value("payments_gateway_in_review") == 1
    assert registry.get_sample_value("payments_gateway_verification_messages_unused") == 2
    assert registry.get_sample_value("payments_gateway_verification_messages_unused_oldest_seconds") == 7
    assert registry.get_sample_value("payments_gateway_duplicate_charges") == 2
    assert registry.get_sample_value("payments_gateway_duplicate_charges_oldest_seconds") == 90
    assert registry.get_sample_value("payments_gateway_verification_claims_total", {"result": "ended"}) == 4
    assert registry.get_sample_value("payments_gateway_verification_messages_total", {"result": "old"}) == 9


async def test_without_the_store_only_what_the_worker_has_done_is_told() -> None:
    registry = await looked(VerificationMetrics(away, Counter(ended=4), Counter(), lambda: BEGIN_MS))

    assert registry.get_sample_value("payments_gateway_unsettled") is None
    assert registry.get_sample_value("payments_gateway_verification_claims_total", {"result": "ended"}) == 4


async def test_what_was_never_counted_is_told_as_none_so_that_the_first_one_is_an_increase() -> None:
    registry = await looked(VerificationMetrics(counted, Counter(), Counter(), lambda: BEGIN_MS))

    for result in ("old", "unknown", "foreign"):
        assert (
            registry.get_sample_value("payments_gateway_verification_messages_total", {"result": result}) == 0
        )
