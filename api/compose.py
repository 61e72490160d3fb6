"""The one place where the service's real parts are chosen and put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from api.admin import Admin
from api.app import Services
from api.checks import AdmissionCheck, LogCheck, ProjectionCheck, RedisCheck, StoreCheck
from api.dry_run import CurrentRoute
from api.lag import Consumer, LagMonitor
from api.live_configuration import LiveConfiguration
from api.live_facts import LiveFacts, NoCircuits
from api.readiness import Readiness
from commands.handler import PaymentHandler
from infra.clock import SystemClock
from infra.gateways.registry import notification_reader, registry
from infra.histories import LogHistories
from infra.kafka.configuration import KafkaConfigurationLog
from infra.kafka.lag import GroupOffsets
from infra.kafka.log import KafkaLog
from infra.kafka.messages import KafkaMessages
from infra.kafka.partition import PAYMENT_PARTITIONS, partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.tail import TopicTail
from infra.memory.probes import MemoryProbes
from infra.postgres.database import Database
from infra.postgres.messages import PostgresMessages
from infra.postgres.payments import PaymentViews
from infra.postgres.reservations import PostgresReservations
from infra.postgres.reviews import PostgresReviews
from infra.redis.connection import connect
from infra.redis.publications import PublishedMetrics
from infra.redis.shards import RedisShards
from infra.redis.snapshots import SnapshotFeed
from infra.resources import admitted
from infra.settings import Settings
from projections.reader import PaymentReader
from schemas.codec import CONFIGURATION_TOPIC, NOTIFICATIONS_TOPIC, PAYMENTS_TOPIC


@asynccontextmanager
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Everything is stopped in the opposite order, when no payment is in flight any more."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        publisher = Publisher(settings.kafka_bootstrap_servers, settings.acknowledgement_timeout_ms)
        stack.push_async_callback(publisher.stop)
        await publisher.start()
        reader = LogReader(settings.kafka_bootstrap_servers)
        stack.push_async_callback(reader.stop)
        database = await Database.connect(
            settings.database_url, min_size=0, max_size=settings.database_pool_size
        )
        stack.push_async_callback(database.close)
        views = PaymentViews(database, partition_for)
        admission, reservations = await stack.enter_async_context(
            admitted(settings, clock, publisher, reader, database, views, connections=4)
        )
        gateways = registry(settings)
        stack.push_async_callback(gateways.close)
        configuration = LiveConfiguration(
            lambda take: TopicTail(settings.kafka_bootstrap_servers, CONFIGURATION_TOPIC, take, clock),
            KafkaConfigurationLog(publisher, clock),
            clock,
        )
        stack.push_async_callback(configuration.stop)
        await configuration.start()
        histories = LogHistories(views, reader, partition_for)
        redis = connect(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        facts = LiveFacts(gateways, lambda: configuration.current.routing, NoCircuits(), clock.now)
        feed = SnapshotFeed(connect(settings.redis_url), facts.believe)
        stack.push_async_callback(feed.stop)
        feed.start()
        groups = GroupOffsets(settings.kafka_bootstrap_servers)
        stack.push_async_callback(groups.stop)
        log = KafkaLog(publisher)
        yield Services(
            handler=PaymentHandler(
                clock=clock,
                log=log,
                reservations=PostgresReservations(reservations, clock, settings.clock_guard_ms),
                histories=histories,
                gateways=gateways,
                facts=facts,
                probes=MemoryProbes(clock.elapsed_ms),
                max_in_flight=settings.max_in_flight,
                gateway_timeout_ms=settings.gateway_timeout_ms,
            ),
            reader=PaymentReader(PAYMENTS_TOPIC, views, reader, partition_for, clock.now),
            histories=histories,
            reviews=PostgresReviews(database),
            messages=KafkaMessages(publisher, clock),
            notification_readers={
                configuration.id: reads
                for configuration in gateways.gateways()
                if (reads := notification_reader(configuration, settings)) is not None
            },
            gateways=[configuration.id for configuration in gateways.gateways()],
            published_metrics=PublishedMetrics(redis, clock.elapsed_ms),
            configuration=configuration,
            facts=facts,
            dry_run=CurrentRoute(facts),
            admin=Admin(settings.internal_api_key),
            clock=clock,
            readiness=Readiness(
                clock,
                {
                    "log": LogCheck(log, reader),
                    "store": StoreCheck(database),
                    "projection": ProjectionCheck(reader.end_offsets, views.watermarks),
                    "admission": AdmissionCheck(admission),
                    "configuration": configuration,
                },
                {"redis": RedisCheck(redis), "beliefs": facts},
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
                ],
            ),
        )
