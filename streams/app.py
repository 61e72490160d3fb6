"""A Faust app that loses nothing; every setting here avoids a way to lose events, or minutes, that was reproduced.

The agent's part is in `streams/agent.py`. No tables, no `group_by`, no producer: Faust only brings the records.
"""

import tempfile
from pathlib import Path
from typing import Literal

import faust

from streams.consumer import BundleTransport

BUNDLE_MAX = 1000
"""Records that are taken in at a time, when there are so many."""
_BUNDLES_WAITING = 4
GATHER_MS = 20
STOP_WITHIN_S = 7.0
_SESSION_S = 6.0


def make_app(
    bootstrap_servers: str,
    group: str,
    worker: str,
    begin: Literal["earliest", "latest"] = "earliest",
    gather_ms: int = GATHER_MS,
) -> faust.App:
    """`worker` is unique in its group. `begin` is where a group that has committed nothing does. `gather_ms` is most of
    what a record waits for on its way to a projection, and half of what a worker costs while little is appended."""
    app = faust.App(
        group,
        broker=";".join(f"kafka://{server.strip()}" for server in bootstrap_servers.split(",")),
        autodiscover=False,
        web_enabled=False,
        store="memory://",
        datadir=Path(tempfile.gettempdir())
        / "payments-gateway-faust",  # it makes one, and puts nothing there
        # `exactly_once` repeats records all the same (faust-streaming#177, #517): the sinks make it once.
        processing_guarantee="at_least_once",
        consumer_auto_offset_reset=begin,
        # Static membership: a worker that was killed has its partitions back a second after its restart. A short
        # session: the partitions of one that does not come back move within seconds.
        consumer_group_instance_id=worker,
        broker_session_timeout=_SESSION_S,
        broker_heartbeat_interval=_SESSION_S / 3,
        broker_request_timeout=_SESSION_S * 2,
        broker_commit_interval=1.0,
        broker_max_poll_records=BUNDLE_MAX,
        stream_buffer_maxsize=_BUNDLES_WAITING,
        # A batch that waits for a store is never acknowledged: a rebalance or a stop must not wait for it.
        stream_wait_empty=False,
        # Topics are made by `python -m infra.kafka topics`, with the settings that the log needs.
        topic_allow_declare=False,
        topic_disable_leader=True,
    )
    app.transport = BundleTransport(app, gather_ms)
    return app
