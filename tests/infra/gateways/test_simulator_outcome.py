from collections import Counter
from statistics import median

import pytest
from msgspec.structs import replace

from infra.gateways.simulator.defaults import DEFAULT_PROFILES, PAYU, RAZORPAY
from infra.gateways.simulator.ledger import payment_of
from infra.gateways.simulator.outcome import Latent, latent
from infra.gateways.simulator.profile import Latency, Profile

REFERENCES = [f"att_{number:026}_1_1" for number in range(20_000)]


@pytest.mark.parametrize("profile", DEFAULT_PROFILES, ids=lambda profile: profile.gateway)
def test_a_gateway_succeeds_as_often_and_as_fast_as_its_profile_says(profile: Profile) -> None:
    fates = fates_of(profile)
    captured = sum(fate.status == "captured" for fate in fates) / len(fates)
    assert captured == pytest.approx(profile.success_rate, abs=0.01)
    assert median(fate.latency_ms for fate in fates) == pytest.approx(profile.latency.median_ms, rel=0.03)


def test_declines_come_in_proportion_to_their_weights() -> None:
    hopeless = replace(PAYU, success_rate=0)
    reasons = Counter(str(fate.decline and fate.decline.reason) for fate in fates_of(hopeless))
    total = sum(decline.weight for decline in PAYU.declines)
    for decline in PAYU.declines:
        assert reasons[decline.reason] / len(REFERENCES) == pytest.approx(decline.weight / total, abs=0.01)


def test_a_worse_day_only_adds_declines() -> None:
    good = {fate.charge_id for fate in fates_of(RAZORPAY) if fate.status == "captured"}
    bad = {
        fate.charge_id for fate in fates_of(replace(RAZORPAY, success_rate=0.5)) if fate.status == "captured"
    }
    assert bad < good


def test_gateways_and_seeds_decide_independently_of_each_other() -> None:
    for other in (replace(RAZORPAY, seed=99), replace(RAZORPAY, gateway="stripe")):
        alike = sum(
            one.status == two.status for one, two in zip(fates_of(RAZORPAY), fates_of(other), strict=True)
        )
        assert alike / len(REFERENCES) == pytest.approx(0.93**2 + 0.07**2, abs=0.01)


def test_a_fixed_latency_is_fixed() -> None:
    fixed = replace(RAZORPAY, latency=Latency(fixed_ms=50))
    assert {latent(fixed, reference).latency_ms for reference in REFERENCES[:100]} == {50}


@pytest.mark.parametrize(
    ("reference", "payment"),
    [
        ("att_01jd0000000000000000000000_1_1", "01jd0000000000000000000000"),
        ("att_01jd0000000000000000000000_12_3", "01jd0000000000000000000000"),
        ("att_short_1_1", "att_short_1_1"),
        ("anything", "anything"),
    ],
)
def test_attempts_of_one_payment_share_the_beginning_of_their_references(
    reference: str, payment: str
) -> None:
    assert payment_of(reference) == payment


def fates_of(profile: Profile) -> list[Latent]:
    return [latent(profile, reference) for reference in REFERENCES]
