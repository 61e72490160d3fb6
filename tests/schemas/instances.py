"""One fixed instance of every event, with every field set: what the golden files hold."""

from msgspec.structs import replace

from schemas.base import Event
from schemas.circuit import (
    CallObserved,
    CircuitClosed,
    CircuitForcedClosed,
    CircuitForcedOpen,
    CircuitHalfOpened,
    CircuitOpened,
    CircuitReleased,
    CircuitTicked,
    ForceClose,
    ForceOpen,
    ProbeReturned,
    ProbeStarted,
    Release,
)
from schemas.configuration import (
    BanditPolicySet,
    GatewaySet,
    KillSwitchTurnedOff,
    KillSwitchTurnedOn,
    ReservationStoreAdopted,
    RetryPolicySet,
    RoutingRulesSet,
    ScoringWeightsSet,
    SegmentationSet,
    ShadowPolicySet,
)
from schemas.customer import CustomerForgotten
from schemas.dimensions import Account, Dimensions, Earlier
from schemas.experiment import (
    ANY_VARIANT,
    BucketRange,
    Evidence,
    ExperimentConcluded,
    ExperimentPaused,
    ExperimentResumed,
    ExperimentStarted,
    ExperimentStopped,
    Guardrails,
    Override,
    RecordedDesign,
    RetryOverride,
    Variant,
)
from schemas.gateway import GatewayTerms
from schemas.ids import ExperimentId, GatewayId
from schemas.instrument import UpiMasked
from schemas.notification import GatewayNotified, ReviewDecided
from schemas.outcome import Decline, NextAction
from schemas.payment import (
    AttemptAwaitingCustomer,
    AttemptDeclined,
    AttemptInDoubt,
    AttemptNotSent,
    AttemptSucceeded,
    ChargeCompensated,
    ExperimentAssigned,
    Failure,
    LateSuccessDetected,
    Order,
    PaymentFailed,
    PaymentHandedOver,
    PaymentRequested,
    PaymentRouted,
    PaymentSucceeded,
    PaymentTakenOver,
    ReviewRequested,
    ReviewSettled,
    VerificationPerformed,
)
from schemas.reliability import (
    DuplicateChargeCompensated,
    DuplicateChargeDetected,
    GatewayDegradationEnded,
    GatewayDegraded,
    ProjectionStalled,
    ProjectionStallEnded,
    SuccessRateDropEnded,
    SuccessRateDropped,
    VerificationOverdue,
    VerificationOverdueEnded,
)
from schemas.routing import Candidate, Decision, Excluded, Probe, Terms, Versions
from schemas.routing_configuration import (
    Affinity,
    AlternativePolicy,
    BanditPolicy,
    Condition,
    Exclude,
    GatewaySwitch,
    MerchantRetryPolicy,
    Pin,
    Prefer,
    RetryPolicy,
    RoutingRules,
    Rule,
    ScoringWeights,
    Segmentation,
    Split,
    StrategySwitch,
)
from schemas.shadow import PaymentShadowed, ShadowCandidate
from schemas.webhook import (
    DeliveryId,
    SecretVersion,
    SubscriptionId,
    WebhookAmended,
    WebhookDisabled,
    WebhookEnabled,
    WebhookSecretRotated,
    WebhooksReplayed,
    WebhookSubscribed,
    WebhookUnsubscribed,
)
from tests.builders import AT, CUSTOMER, PAYMENT, attempt, started

ALPHA = GatewayId("alpha")
ACCOUNT = Account(
    dimensions=Dimensions(
        payment_method="CARD", amount_band="1e3", issuer="411111", network="visa", segment="gold"
    ),
    started_at=AT,
    instead_of=Earlier(kind="declined", code="insufficient_funds", blame="customer"),
    probe="prb_1",
)

EXPERIMENT = ExperimentId("exp_" + PAYMENT[4:])
ARMS = (
    BucketRange(variant="control", first=0, end=500),
    BucketRange(variant="alpha-first", first=500, end=1_000),
)
SUBSCRIPTION = SubscriptionId("whs_" + PAYMENT[4:])
ALLOCATION = (
    BucketRange(variant="control", first=0, end=500),
    BucketRange(variant="alpha-first", first=500, end=1_000),
)
EVIDENCE = Evidence(
    verdict="harmful",
    reasons=("succeeds_credibly_less_often_than_control",),
    figures={"control": {"customers": 812.0, "success_rate": 0.91}, "alpha-first": {"success_rate": None}},
    rules={"planned_customers": 20_000, "max_success_drop": 0.05},
    split_p=0.71,
    next_offsets={0: 4_711, 11: 12},
)

ROUTED = PaymentRouted(
    strategy="THOMPSON",
    reason="alpha was drawn with probability 0.969 of 1",
    candidates=(
        Candidate(
            gateway=ALPHA,
            priority=1,
            fee_bps=200,
            timeout_ms=2_500,
            horizon_s=259_200,
            circuit="HALF_OPEN",
            alpha=912.5,
            beta=80.25,
            fit=-0.01,
            latency_ms=310.0,
            affinity=0.5,
            terms=Terms(
                success=0.9192,
                uncertainty=0.0173,
                fit=-0.01,
                latency=-0.00062,
                cost=-0.002,
                affinity=0.005,
                priority=-0.00001,
            ),
            score=0.92887,
            propensity=0.969,
        ),
    ),
    excluded=(Excluded(gateway=GatewayId("gamma"), reason="rule", rule="no_gamma"),),
    policy=RetryPolicy(),
    decision=Decision(
        segment="UPI:gold",
        draw=0.25,
        weights=ScoringWeights(),
        bandit=BanditPolicy(enabled=True),
        rule=Rule(id="gold_first", then=Prefer(gateways=(ALPHA,)), when=Condition(segments=("UPI:gold",))),
        probe=Probe(gateway=ALPHA, lease="3.1"),
        versions=Versions(configuration=12, circuits=34, health=56),
    ),
)

INSTANCES: tuple[Event, ...] = (
    PaymentRequested(
        order=Order(
            merchant_id="mrc_1",
            customer_id=CUSTOMER,
            amount_minor=129_900,
            currency="INR",
            payment_method="UPI",
            instrument=UpiMasked(vpa_masked="***@okhdfcbank", handle="okhdfcbank"),
            attributes={"channel": "app"},
        ),
        key_hash="5e0c",
        fingerprint="f1a9",
        requested_at=AT,
    ),
    ExperimentAssigned(experiment_id="exp_1", variant="treatment", treatment=True, customer_id=CUSTOMER),
    ROUTED,
    replace(started(), probe="prb_1"),
    AttemptSucceeded(
        attempt_id=attempt(),
        gateway=ALPHA,
        gateway_reference="txn_1",
        latency_ms=80,
        verified=True,
        account=ACCOUNT,
    ),
    AttemptDeclined(
        attempt_id=attempt(),
        gateway=ALPHA,
        decline=Decline(
            code="insufficient_funds",
            blame="customer",
            retryable=False,
            gateway_code="E51",
            gateway_reason="Not enough balance",
        ),
        latency_ms=80,
        gateway_reference="txn_1",
        verified=True,
        account=ACCOUNT,
    ),
    AttemptNotSent(
        attempt_id=attempt(),
        gateway=ALPHA,
        reason="connect",
        latency_ms=80,
        verified=True,
        account=ACCOUNT,
    ),
    AttemptAwaitingCustomer(
        attempt_id=attempt(),
        gateway=ALPHA,
        gateway_reference="txn_1",
        next_action=NextAction(type="redirect", url="https://bank.example/3ds"),
        latency_ms=80,
        account=ACCOUNT,
    ),
    AttemptInDoubt(
        attempt_id=attempt(),
        gateway=ALPHA,
        reason="server_error",
        latency_ms=80,
        gateway_reference="txn_1",
        http_status=502,
        account=ACCOUNT,
    ),
    PaymentSucceeded(attempt_id=attempt(), gateway=ALPHA, gateway_reference="txn_1"),
    PaymentFailed(
        failure=Failure(
            code="insufficient_funds", blame="customer", customer_may_retry=True, gateway_code="E51"
        )
    ),
    PaymentHandedOver(unsettled=(attempt(),)),
    PaymentTakenOver(claim_id="clm_1", by="payment_verifier"),
    VerificationPerformed(attempt_id=attempt(), check=2, verdict="still_pending", next_check_at=AT),
    ReviewRequested(unsettled=(attempt(),)),
    ReviewSettled(
        attempt_id=attempt(),
        verdict="not_sent",
        settled_by="ops@example.com",
        note="asked the bank",
        gateway_reference="txn_1",
    ),
    LateSuccessDetected(attempt_id=attempt(), gateway=ALPHA, gateway_reference="txn_1", kept=False),
    ChargeCompensated(attempt_id=attempt(), gateway=ALPHA, gateway_reference="txn_1", by="refund"),
    CustomerForgotten(customer=CUSTOMER, merchant_id="mrc_1", by="asha", note="ticket 4711"),
    ReservationStoreAdopted(system_identifier="7439285720001", timeline=2, database=16384),
    ScoringWeightsSet(
        weights=ScoringWeights(uncertainty=1, latency=0.01, cost=0.002, affinity=0.02, priority=0.0001),
        affinities=(Affinity(gateway=ALPHA, value=-0.5, merchant_id="mrc_1", payment_method="UPI"),),
        by="asha",
        note="latency matters more in the sale",
        instead_of_version=7,
    ),
    RoutingRulesSet(
        rules=RoutingRules(
            rules=(
                Rule(
                    id="no-beta-at-night",
                    then=Exclude(gateways=(GatewayId("beta"),)),
                    when=Condition(
                        merchant_ids=("mrc_1",),
                        segments=("UPI",),
                        payment_methods=("UPI", "CARD"),
                        currencies=("INR",),
                        minimum_amount_minor=100,
                        maximum_amount_minor=100_000,
                        issuers=("okhdfcbank",),
                        networks=("visa",),
                        attributes={"channel": ("app", "web")},
                    ),
                    enabled=False,
                    note="until they have mended it",
                ),
                Rule(id="pinned", then=Pin(gateway=ALPHA), when=Condition(merchant_ids=("mrc_2",))),
                Rule(id="halves", then=Split(weights={ALPHA: 50, GatewayId("beta"): 50})),
                Rule(id="last", then=Prefer(gateways=(ALPHA, GatewayId("beta")))),
            )
        ),
        by="asha",
        note="a contract",
        instead_of_version=0,
    ),
    ShadowPolicySet(
        policy=AlternativePolicy(
            weights=ScoringWeights(cost=0.002),
            bandits={"*": BanditPolicy(enabled=False)},
            retry_policies={"mrc_1": MerchantRetryPolicy(max_attempts=2)},
        ),
        by="asha",
        note="would fees move much?",
        instead_of_version=9,
    ),
    PaymentShadowed(
        strategy="SCORE",
        candidates=(
            ShadowCandidate(gateway=GatewayId("beta"), propensity=1.0),
            ShadowCandidate(gateway=GatewayId("alpha"), propensity=0.0),
        ),
        routed_to=GatewayId("alpha"),
        agrees=False,
        decided_at=AT,
        versions=Versions(configuration=17, circuits=4, health=812),
    ),
    SegmentationSet(
        segmentation=Segmentation(
            dimensions=("payment_method", "merchant_tier"), merchant_tiers={"mrc_1": "gold"}
        ),
        by="asha",
        note="the large ones learn by themselves",
        instead_of_version=9,
    ),
    BanditPolicySet(
        segment="UPI:gold",
        policy=BanditPolicy(enabled=True, exploration_share=0.01, worse_by=0.04, expected_loss=0.002),
        by="asha",
        note="a trial",
        instead_of_version=0,
    ),
    GatewaySet(
        gateway=ALPHA,
        terms=GatewayTerms(
            enabled=True,
            priority=5,
            fee_bps=180,
            payment_methods=("UPI", "CARD"),
            currencies=("INR",),
            minimum_amount_minor=100,
            maximum_amount_minor=10_000_000,
        ),
        by="asha",
        note="the new contract",
        instead_of_version=4,
    ),
    RetryPolicySet(
        merchant_id="mrc_1",
        policy=MerchantRetryPolicy(
            max_attempts=4,
            latency_budget_ms=8_000,
            enabled=True,
            retry_on_timeout=True,
            keep_late_success=True,
            try_open_circuits=False,
        ),
        by="asha",
        note="they would rather wait less",
        instead_of_version=2,
    ),
    KillSwitchTurnedOn(
        switch=GatewaySwitch(name=ALPHA), by="asha", note="it charges twice", instead_of_version=0
    ),
    KillSwitchTurnedOff(
        switch=StrategySwitch(name="scores"), by="asha", note="metrics are right again", instead_of_version=5
    ),
    GatewayNotified(
        gateway=ALPHA,
        event_id="evt_razorpay_1",
        kind="payment.failed",
        attempt_id=attempt(),
        told="declined",
        gateway_reference="txn_1",
        decline=Decline(
            code="insufficient_funds",
            blame="customer",
            retryable=False,
            gateway_code="BAD_REQUEST_ERROR",
            gateway_reason="insufficient_funds",
        ),
        amount_minor=129_900,
        currency="INR",
        happened_at=AT,
    ),
    ReviewDecided(
        decision_id="dec_1",
        attempt_id=attempt(),
        verdict="succeeded",
        settled_by="asha",
        note="seen in the gateway's statement",
        gateway_reference="txn_1",
    ),
    DuplicateChargeDetected(
        payment_id=PAYMENT, attempt_id=attempt(), gateway=ALPHA, gateway_reference="txn_1", kept=False
    ),
    DuplicateChargeCompensated(payment_id=PAYMENT, attempt_id=attempt(), gateway=ALPHA, by="refund"),
    VerificationOverdue(payment_id=PAYMENT, unsettled=(attempt(),)),
    VerificationOverdueEnded(payment_id=PAYMENT, attempt_id=attempt()),
    SuccessRateDropped(
        gateway=ALPHA, payment_method="UPI", episode=3, rate=0.5, outcomes=120, usual_rate=0.925
    ),
    SuccessRateDropEnded(
        gateway=ALPHA, payment_method="UPI", episode=3, because="recovered", rate=0.91, outcomes=140
    ),
    GatewayDegraded(
        gateway=ALPHA,
        payment_method="UPI",
        episode=1,
        latency_ms_p90=2400.5,
        calls=300,
        usual_latency_ms_p95=480.25,
    ),
    GatewayDegradationEnded(
        gateway=ALPHA, payment_method="UPI", episode=1, because="recovered", latency_ms_p90=410.5, calls=310
    ),
    ProjectionStalled(
        group="projections-v1", topic="payments.events.v1", episode=2, partitions=(3, 7), records=812
    ),
    ProjectionStallEnded(group="projections-v1", topic="payments.events.v1", episode=2),
    CircuitOpened(
        gateway=ALPHA,
        payment_method="UPI",
        at=AT,
        until=AT,
        opening=2,
        reason="fast",
        statistic=16,
        threshold=15,
        baseline=0.9,
        calls=311,
        failures=39,
    ),
    CircuitHalfOpened(
        gateway=ALPHA, payment_method="UPI", at=AT, trial=3, probes=5, probe_lease_s=30, opening=2
    ),
    CircuitClosed(
        gateway=ALPHA, payment_method="UPI", at=AT, trial=3, probes_succeeded=4, probes_failed=1, opening=2
    ),
    CircuitForcedOpen(
        gateway=ALPHA, payment_method="UPI", at=AT, by="asha", note="their maintenance", request_id="req_1"
    ),
    CircuitForcedClosed(
        gateway=ALPHA, payment_method="UPI", at=AT, by="asha", note="their maintenance", request_id="req_1"
    ),
    CircuitReleased(
        gateway=ALPHA, payment_method="UPI", at=AT, by="asha", note="their maintenance", request_id="req_1"
    ),
    ProbeStarted(
        gateway=ALPHA,
        payment_method="UPI",
        attempt_id=attempt(),
        lease="3.1",
        at=AT,
        source_partition=7,
        source_offset=42,
    ),
    ProbeReturned(
        gateway=ALPHA,
        payment_method="UPI",
        attempt_id=attempt(),
        lease="3.1",
        at=AT,
        source_partition=7,
        source_offset=42,
    ),
    CallObserved(
        gateway=ALPHA,
        payment_method="UPI",
        attempt_id=attempt(),
        is_failure=True,
        latency_ms=80,
        at=AT,
        source_partition=7,
        source_offset=42,
        lease="3.1",
    ),
    CircuitTicked(gateway=ALPHA, payment_method="UPI", at=AT),
    ForceOpen(
        gateway=ALPHA, payment_method="UPI", at=AT, by="asha", note="their maintenance", request_id="req_1"
    ),
    ForceClose(
        gateway=ALPHA, payment_method="UPI", at=AT, by="asha", note="their maintenance", request_id="req_1"
    ),
    Release(
        gateway=ALPHA, payment_method="UPI", at=AT, by="asha", note="their maintenance", request_id="req_1"
    ),
    ExperimentStarted(
        experiment_id=EXPERIMENT,
        design=RecordedDesign(
            name="alpha before the others",
            variants=(
                Variant(name="control", weight=500),
                Variant(
                    name="alpha-first",
                    weight=500,
                    override=Override(
                        order=(ALPHA,),
                        share={ALPHA: 3},
                        weights=ScoringWeights(cost=0.001),
                        bandit=False,
                        retry=RetryOverride(
                            max_attempts=2, latency_budget_ms=4_000, enabled=True, retry_on_timeout=False
                        ),
                    ),
                ),
            ),
            planned_customers=10_000,
            planned_days=14,
            filter=Condition(payment_methods=("UPI",)),
            metric="first_attempt_success",
            guardrails=Guardrails(min_samples=100, max_success_drop=0.05, max_latency_multiplier=1.5),
            group="checkout",
            arms=ARMS,
        ),
        salt="checkout",
        allocation=(BucketRange(variant=ANY_VARIANT, first=2_000, end=3_000),),
        by="asha",
        note="does alpha do better first?",
    ),
    ExperimentPaused(experiment_id=EXPERIMENT, by="experiment_analyzer", note="harmful", evidence=EVIDENCE),
    ExperimentResumed(experiment_id=EXPERIMENT, allocation=ALLOCATION, by="asha", note="alpha is repaired"),
    ExperimentStopped(experiment_id=EXPERIMENT, by="asha", note="enough"),
    ExperimentConcluded(
        experiment_id=EXPERIMENT, by="experiment_analyzer", evidence=EVIDENCE, follows_version=7
    ),
    WebhookSubscribed(
        subscription_id=SUBSCRIPTION,
        url="https://receiver.example/hook",
        event_types=("payment.*", "circuit.opened"),
        merchant_ids=("m_001",),
        secret=SecretVersion(number=1, key="5e0c9a11"),
        by="asha",
        note="the shop's books",
    ),
    WebhookSecretRotated(
        subscription_id=SUBSCRIPTION,
        secret=SecretVersion(number=2, key="5e0c9a11"),
        former_until=AT,
        by="asha",
        note="a laptop was lost",
        instead_of_version=7,
    ),
    WebhookDisabled(
        subscription_id=SUBSCRIPTION,
        by="webhook_dispatcher",
        note="its receiver answered 410 Gone",
        instead_of_version=8,
    ),
    WebhookUnsubscribed(subscription_id=SUBSCRIPTION, by="asha", note="done", instead_of_version=9),
    WebhookAmended(
        subscription_id=SUBSCRIPTION,
        url="https://receiver.example/hook/2",
        event_types=("payment.*",),
        merchant_ids=("m_001", "m_002"),
        by="asha",
        note="the shop's books",
        instead_of_version=8,
    ),
    WebhookEnabled(
        subscription_id=SUBSCRIPTION, by="asha", note="it was a mistake of theirs", instead_of_version=9
    ),
    WebhooksReplayed(
        subscription_id=SUBSCRIPTION,
        deliveries=2,
        first=DeliveryId("dlv_01kb1sv5zb7000820c40m2gc1r"),
        last=DeliveryId("dlv_01kb1sv5zb7000820c40m2gc1s"),
        by="asha",
        note="their disk is mended",
    ),
)
