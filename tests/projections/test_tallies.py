"""What an outcome adds to the figures, and that a correction leaves no trace of what it corrects."""

import csv
from datetime import timedelta
from pathlib import Path

from hypothesis import given

import infra.gateways.classification
from projections.tallies import DECLINE_CODES, add, observe
from schemas.base import Event
from schemas.envelope import Window
from schemas.metrics import Cell, Tally
from schemas.outcome import Outcome
from tests.projections.outcomes import (
    AWAITING,
    DOUBT,
    LONG,
    NOW,
    SUCCESS,
    UPI,
    decline,
    outcomes,
    told,
)
from tests.projections.story import BEGIN, BEGIN_MS, paid, recorded, succeeded


def tally(*events: Event) -> Tally:
    total: Tally = {}
    for event in events:
        observation = observe(recorded(event, window=LONG))
        assert observation is not None
        add(total, observation.counts)
    return total


def test_an_outcome_counts_under_its_method_and_every_dimension_that_it_has() -> None:
    observation = observe(recorded(told(SUCCESS, issuer="okbank", segment="upi-small"), window=LONG))
    assert observation is not None
    assert observation.bucket == NOW
    assert set(observation.cells) == {
        UPI,
        Cell("alpha", "UPI", "amount_band", "1e3"),
        Cell("alpha", "UPI", "issuer", "okbank"),
        Cell("alpha", "UPI", "segment", "upi-small"),
    }
    assert observation.counts == {"succeeded": 1, "ms:240": 1}


def test_it_counts_in_the_ten_seconds_in_which_its_attempt_started_however_late_it_is_known() -> None:
    late = recorded(
        told(SUCCESS, at=BEGIN + timedelta(seconds=19)), stamp_ms=BEGIN_MS + 3_000_000, window=LONG
    )
    observation = observe(late)
    assert observation is not None
    assert observation.bucket == NOW + 1


@given(outcomes, outcomes)
def test_a_correction_leaves_the_tally_as_if_it_had_been_that_from_the_start(
    before: Outcome, after: Outcome
) -> None:
    corrected = tally(told(before), told(after, instead_of=before, latency_ms=90_000, verified=True))
    assert corrected == tally(told(after))


@given(outcomes, outcomes, outcomes)
def test_corrections_of_corrections_do_so_too_in_any_order(a: Outcome, b: Outcome, c: Outcome) -> None:
    events = [told(a), told(b, instead_of=a), told(c, instead_of=b)]
    assert tally(*events) == tally(*reversed(events)) == tally(told(c))


def test_how_long_it_took_to_find_an_outcome_out_is_no_latency_of_the_gateway() -> None:
    assert tally(told(SUCCESS, latency_ms=90_000, verified=True)) == {"succeeded": 1}


def test_what_is_void_no_outcome_or_without_an_account_counts_nothing() -> None:
    void = Window(valid_from_ms=0, valid_until_ms=1)
    assert observe(recorded(told(SUCCESS), window=void)) is None
    assert observe(recorded(paid(), window=LONG)) is None
    assert observe(recorded(succeeded(), window=LONG)) is None


def test_what_no_table_of_errors_knows_is_counted_as_other() -> None:
    assert tally(told(decline("gateway", "made_up"))) == {"declined:gateway:other": 1, "ms:240": 1}
    assert "awaiting_customer" in tally(told(AWAITING))
    assert "in_doubt:read_timeout" in tally(told(DOUBT))


def test_every_code_of_the_tables_of_errors_has_a_count_of_its_own() -> None:
    (folder,) = map(Path, infra.gateways.classification.__path__)
    tables = list(folder.glob("*.csv"))
    codes = {row["code"] for table in tables for row in csv.DictReader(table.read_text().splitlines())}
    assert codes
    assert codes <= DECLINE_CODES
