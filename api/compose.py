"""The one place where the service's real parts are chosen and put together."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from api.admin import Admin
from api.app import Services
from api.checks import (
    AdmissionCheck,
    FactsCheck,
    KeysCheck,
    LogCheck,
    ProjectionCheck,
    RateLimitCheck,
    RedisCheck,
    StoreCheck,
)
from api.circuits import Circuits
from api.client_address import TrustedProxies
from api.connections import Connections
from api.dry_run import CurrentRoute
from api.experiment_results import ExperimentResults
from api.lag import Consumer, LagMonitor
from api.live_configuration import LiveConfiguration
from api.live_experiments import LiveExperiments
from api.live_facts import LiveFacts
from api.live_fold import LiveFold
from api.live_webhooks import LiveWebhooks
from api.merchant_keys import MerchantKeys
from api.readiness import Readiness
from api.shadow import LiveShadow
from api.shared_tail import SharedTail
from api.stalls import Stalls
from api.watch import repeating
from api.webhooks import Webhooks
from commands.alarm_writer import AlarmWriter
from commands.fingerprints import Fingerprints
from commands.handler import PaymentHandler
from commands.webhook_delivery import GIVEN_UP_AFTER_MS
from infra.access_keys import admin_keys, key_files, merchant_keys
from infra.clock import SystemClock
from infra.gateways.registry import notification_reader, registry
from infra.histories import LogHistories
from infra.kafka.alarms import KafkaAlarms
from infra.kafka.circuits import KafkaCircuitMessages
from infra.kafka.lag import GroupOffsets
from infra.kafka.log import KafkaLog
from infra.kafka.messages import KafkaMessages
from infra.kafka.partition import PAYMENT_PARTITIONS, partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.shadow import KafkaShadowLog
from infra.kafka.tail import TopicTail
from infra.kafka.topic_log import configuration_log, customer_log, experiment_log, webhook_log
from infra.memory.rate_limits import LocalRateLimits
from infra.postgres.audit import PostgresAudit
from infra.postgres.circuits import PostgresCircuits
from infra.postgres.customers import PostgresCustomers
from infra.postgres.deliveries import PostgresDeliveries
from infra.postgres.experiments import PostgresExperiments
from infra.postgres.messages import PostgresMessages
from infra.postgres.payments import PaymentViews
from infra.postgres.reservations import PostgresReservations
from infra.postgres.reviews import PostgresReviews
from infra.probes import LocalProbes
from infra.redis.absence import Absence
from infra.redis.connection import connect
from infra.redis.probes import RedisProbes
from infra.redis.publications import PublishedMetrics
from infra.redis.rate_limits import RedisRateLimits
from infra.redis.shards import RedisShards
from infra.redis.snapshots import SnapshotFeed
from infra.resources import admitted, product_database, tailed_circuits
from infra.settings import Settings
from infra.webhooks.secrets import Secrets
from infra.webhooks.targets import Targets, ThreadedResolver
from projections.circuit_facts import CircuitFacts
from projections.ports import Tail, Take
from projections.reader import PaymentReader
from schemas.codec import (
    CIRCUIT_OUTCOMES_TOPIC,
    CIRCUITS_TOPIC,
    CONFIGURATION_TOPIC,
    EXPERIMENTS_TOPIC,
    NOTIFICATIONS_TOPIC,
    PAYMENTS_TOPIC,
    RELIABILITY_TOPIC,
)


@asynccontextmanager
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Everything is stopped in the opposite order, when no payment is in flight any more."""
    clock = SystemClock()
    admin = Admin(settings.internal_api_key, admin_keys(settings))
    proxies = TrustedProxies(settings.proxies)
    merchants = MerchantKeys(admin, merchant_keys(settings))
    keys = key_files(settings, admin.know, merchants.know)
    async with AsyncExitStack() as stack:
        publisher = Publisher(settings.kafka_bootstrap_servers, settings.acknowledgement_timeout_ms)
        stack.push_async_callback(publisher.stop)
        await publisher.start()
        reader = LogReader(settings.kafka_bootstrap_servers)
        stack.push_async_callback(reader.stop)
        database = await product_database(settings, min_size=0, max_size=settings.database_pool_size)
        stack.push_async_callback(database.close)
        views = PaymentViews(database, partition_for)
        admission, reservations = await stack.enter_async_context(
            admitted(settings, clock, publisher, reader, database, views, connections=4)
        )
        gateways = registry(settings)
        stack.push_async_callback(gateways.close)

        def tail_of(topic: str) -> Callable[[Take], Tail]:
            return lambda take: TopicTail(settings.kafka_bootstrap_servers, topic, take, clock)

        configured = SharedTail(tail_of(CONFIGURATION_TOPIC))
        configuration = LiveConfiguration(configured.joined, configuration_log(publisher, clock), clock)
        subscriptions = LiveWebhooks(configured.joined, webhook_log(publisher, clock), clock)
        await stack.enter_async_context(_followed(configuration))
        experiments = LiveExperiments(tail_of(EXPERIMENTS_TOPIC), experiment_log(publisher, clock), clock)
        await stack.enter_async_context(_followed(experiments))
        await stack.enter_async_context(_followed(subscriptions))
        resolver = ThreadedResolver()
        stack.push_async_callback(resolver.close)
        circuit_facts, circuit_store = CircuitFacts(), PostgresCircuits(database)
        circuit_tail = await stack.enter_async_context(
            tailed_circuits(settings, clock, circuit_store, circuit_facts)
        )
        experiment_store = PostgresExperiments(database)
        audit = PostgresAudit(database)
        deliveries = PostgresDeliveries(database, GIVEN_UP_AFTER_MS)
        histories = LogHistories(views, reader, partition_for)
        redis = connect(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        facts = LiveFacts(
            gateways,
            lambda: configuration.current.routing,
            circuit_facts,
            lambda: experiments.current.running,
            clock.now,
        )
        feed = SnapshotFeed(redis, facts.believe)
        stack.push_async_callback(feed.stop)
        feed.start()
        rate_limits = RedisRateLimits(
            redis,
            LocalRateLimits(clock.elapsed_ms),
            Absence(clock.elapsed_ms),
            settings.personal_data_keys[0],
        )
        groups = GroupOffsets(settings.kafka_bootstrap_servers)
        stack.push_async_callback(groups.stop)
        log = KafkaLog(publisher)
        shadow_publisher = Publisher(settings.kafka_bootstrap_servers, settings.acknowledgement_timeout_ms)
        stack.push_async_callback(shadow_publisher.stop)
        await shadow_publisher.start()
        shadow = LiveShadow(KafkaShadowLog(shadow_publisher, clock), clock)
        await stack.enter_async_context(shadow.running())
        composed = Services(
            handler=PaymentHandler(
                clock=clock,
                log=log,
                reservations=PostgresReservations(reservations, clock, settings.clock_guard_ms),
                histories=histories,
                gateways=gateways,
                facts=facts,
                probes=RedisProbes(redis, LocalProbes(clock.event_id()[-8:], clock.elapsed_ms)),
                shadow=shadow,
                fingerprints=Fingerprints(settings.personal_data_keys),
                max_in_flight=settings.max_in_flight,
                gateway_timeout_ms=settings.gateway_timeout_ms,
            ),
            reader=PaymentReader(PAYMENTS_TOPIC, views, reader, partition_for, clock.now),
            histories=histories,
            customers=PostgresCustomers(database),
            customer_log=customer_log(publisher, clock),
            reviews=PostgresReviews(database),
            messages=KafkaMessages(publisher, clock),
            notification_readers={
                configuration.id: reads
                for configuration in gateways.gateways()
                if (reads := notification_reader(configuration, settings)) is not None
            },
            registry=gateways,
            drained_budget_ms=settings.drain_timeout_s * 1000 - settings.gateway_timeout_ms,
            published_metrics=PublishedMetrics(redis, clock.elapsed_ms),
            configuration=configuration,
            experiments=experiments,
            facts=facts,
            dry_run=CurrentRoute(facts),
            circuits=Circuits(
                circuit_facts,
                circuit_tail,
                KafkaCircuitMessages(publisher, clock),
                facts.gateways,
                clock,
            ),
            experiment_limits=settings.guardrails,
            experiment_results=ExperimentResults(
                experiment_store, experiments.loaded, settings.guardrails, clock
            ),
            audit=audit,
            webhooks=Webhooks(
                subscriptions=subscriptions,
                deliveries=deliveries,
                secrets=Secrets(settings.webhook_secret_keys),
                check_target=partial(Targets(settings.webhook_allowed_targets).check, resolver=resolver),
            ),
            admin=admin,
            merchant_keys=merchants,
            rate_limits=rate_limits,
            client_limit=settings.client_limit,
            merchant_limit=settings.merchant_limit,
            proxies=proxies,
            connections=Connections(proxies, settings.max_connections_per_client),
            clock=clock,
            readiness=Readiness(
                clock,
                {
                    "log": LogCheck(log, reader),
                    "store": StoreCheck(database),
                    "projection": ProjectionCheck(reader.end_offsets, views.watermarks),
                    "admission": AdmissionCheck(admission),
                    "configuration": configuration,
                    "experiments": experiments,
                },
                {
                    "redis": RedisCheck(redis),
                    "rate-limits": RateLimitCheck(rate_limits),
                    "keys": KeysCheck(keys),
                    "beliefs": facts,
                    "circuits": FactsCheck(circuit_tail),
                },
            ),
            lag=LagMonitor(
                clock,
                reader.end_offsets,
                groups.offsets,
                [
                    Consumer(
                        group=settings.projection_consumer_group,
                        topics=(PAYMENTS_TOPIC,),
                        watermarks=views.watermarks,
                    ),
                    Consumer(
                        group=settings.projection_consumer_group,
                        topics=(CONFIGURATION_TOPIC, EXPERIMENTS_TOPIC, CIRCUITS_TOPIC, NOTIFICATIONS_TOPIC),
                        watermarks=audit.watermarks,
                    ),
                    Consumer(
                        group=settings.verifier_consumer_group,
                        topics=(NOTIFICATIONS_TOPIC,),
                        watermarks=PostgresMessages(database).watermarks,
                    ),
                    Consumer(
                        group=settings.metrics_stream_group,
                        topics=(settings.metrics_stream_key,),
                        watermarks=RedisShards(
                            redis, settings.metrics_stream_key, PAYMENT_PARTITIONS
                        ).watermarks,
                    ),
                    Consumer(
                        group=settings.experiment_consumer_group,
                        topics=(PAYMENTS_TOPIC,),
                        watermarks=experiment_store.watermarks,
                    ),
                    Consumer(
                        group=settings.webhook_consumer_group,
                        topics=(PAYMENTS_TOPIC, CIRCUITS_TOPIC, RELIABILITY_TOPIC),
                        watermarks=deliveries.watermarks,
                    ),
                    Consumer(group=settings.circuit_consumer_group, topics=(PAYMENTS_TOPIC,)),
                    Consumer(
                        group=settings.circuit_consumer_group,
                        topics=(CIRCUIT_OUTCOMES_TOPIC,),
                        watermarks=circuit_store.watermarks,
                    ),
                ],
            ),
        )
        writer = AlarmWriter(KafkaAlarms(publisher, clock))
        alarms = TopicTail(settings.kafka_bootstrap_servers, RELIABILITY_TOPIC, writer.take, clock)
        stack.push_async_callback(alarms.stop)
        await alarms.start(within_s=0)
        await stack.enter_async_context(Stalls(composed.lag, writer, lambda: alarms.is_current).watched())
        await stack.enter_async_context(repeating(*(file.look for file in keys)))
        yield composed


@asynccontextmanager
async def _followed(fold: LiveFold[Any, Any, Any]) -> AsyncIterator[None]:
    """Stopped also where it does not get as far as having started."""
    try:
        await fold.start()
        yield
    finally:
        await fold.stop()
