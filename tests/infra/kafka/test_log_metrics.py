"""What those who watch are told of the ends of payments."""

import pytest
from prometheus_client import REGISTRY

from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.settings import Settings
from schemas.errors import AppendAmbiguous
from schemas.payment import Failure, PaymentFailed
from tests.builders import payment_succeeded, requested
from tests.contract.logs import OVER, kafka_broker, new_payment, outgoing

pytestmark = pytest.mark.integration

FAILED = PaymentFailed(failure=Failure(code="no_gateway_reached", blame="gateway", customer_may_retry=True))


def ended(status: str, blame: str = "") -> float:
    labels = {"status": status, "blame": blame}
    found = REGISTRY.get_sample_value("payments_gateway_payments_ended_total", labels)
    assert found is not None, "the first one would be no increase"
    return found


async def test_ends_that_count_are_counted_with_whose_doing_a_failure_was(stack: Stack) -> None:
    await make_topics(Settings.from_environment(stack.env))
    async with kafka_broker(stack) as broker:
        before = ended("SUCCESS"), ended("FAILURE", "gateway"), ended("FAILURE", "customer")
        await broker.log.append(outgoing(new_payment(), requested(), payment_succeeded()))
        await broker.log.append(outgoing(new_payment(), FAILED))
        with pytest.raises(AppendAmbiguous):
            await broker.log.append(outgoing(new_payment(), FAILED, window=OVER))
        after = ended("SUCCESS"), ended("FAILURE", "gateway"), ended("FAILURE", "customer")
    assert after == (before[0] + 1, before[1] + 1, before[2])
