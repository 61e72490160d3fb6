"""Whether what is published is compared with a fold of the log where it can be, and only there."""

from datetime import timedelta

from projections.hot_metrics import fold
from projections.shard import Shard
from schemas.metrics import BUCKET_S, Published, RoutingSnapshot
from tests.bench.redis_loss import wrong_histories
from tests.folds import cells_of, to_publish
from tests.projections.outcomes import SUCCESS, UPI, an_empty_shard, records, told
from tests.projections.story import BEGIN

LATER = BEGIN + timedelta(seconds=BUCKET_S)


def shard_of(early: int, late: int) -> Shard:
    """So many successes of the first ten seconds, and of the next."""
    shard = an_empty_shard()
    fold(shard, records([told(SUCCESS, at=BEGIN)] * early + [told(SUCCESS, at=LATER)] * late))
    return shard


def published(shard: Shard) -> RoutingSnapshot:
    return to_publish([shard], Published(version=1, as_of=LATER, through=LATER))


def test_what_is_to_be_published_is_the_sum_of_the_shards() -> None:
    shards = [shard_of(3, 1), shard_of(2, 0)]
    shards[1].partition = 1
    snapshot = to_publish(shards, Published(version=1, as_of=LATER))
    assert cells_of(snapshot)[UPI].succeeded_15m == 6


def test_what_an_hour_has_lost_is_found_and_what_is_still_counted_is_not_missed() -> None:
    log = shard_of(3, 5)
    first_is_over, second_is_over = LATER.timestamp(), LATER.timestamp() + BUCKET_S
    assert wrong_histories(published(shard_of(3, 2)), [log], first_is_over) == []
    assert wrong_histories(published(shard_of(3, 2)), [log], second_is_over) != []
    lost = wrong_histories(published(shard_of(2, 5)), [log], first_is_over)
    assert "history of alpha:UPI:method: after the loss" in lost
    assert wrong_histories(published(an_empty_shard()), [log], first_is_over) != []
