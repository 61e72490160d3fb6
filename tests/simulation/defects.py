"""What may be wrong with a system, and the words in which the checker has to object to it.

A checker that has never failed proves nothing: each of these makes it fail.
"""

from collections.abc import Callable

from msgspec.structs import replace

from commands.ports import Gateways
from schemas.base import Value
from tests.simulation.broken import gateways, logs, machines, stores
from tests.simulation.broken.logs import rewritten
from tests.simulation.faults import Rates
from tests.simulation.scenario import Scenario


class Defect(Value, frozen=True, kw_only=True):
    scenario: Scenario
    what: str
    windows: bool = True
    """Whether the checker also asks if every call was let through inside its window."""


def defect(what: str, *, windows: bool = True, of: Scenario | None = None, **broken: object) -> Defect:
    return Defect(scenario=replace(of or Scenario(), **broken), what=what, windows=windows)


def broken(how: type[gateways.PassedOn]) -> Callable[[Gateways], Gateways]:
    return lambda whole: gateways.Broken(how, whole)


PAUSES = Scenario(rates=Rates(log=0.1, pauses=0.02))
PAUSES_BEFORE_SENDING = Scenario(
    rates=Rates(log=0.2, store=0.15, pauses=0.05, pauses_after_the_last_look=0.1)
)
TORN = Scenario(rates=Rates(log=0.3))
UNHEARD = Scenario(rates=Rates(notifications=1.0, lies=0.0))
"""Of what gateways tell, a quarter never arrives."""

OF_GATEWAYS = {
    "a timeout cascades": defect("charged 2 times at once", wrap_gateways=broken(gateways.DoubtIsNotSent)),
    "a customer who is asked cascades": defect(
        "declined by assumption", wrap_gateways=broken(gateways.WaitingIsDecline)
    ),
    "a reference is not burnt": defect(
        "although verified as not sent",
        of=PAUSES_BEFORE_SENDING,
        wrap_gateways=broken(gateways.BurnsNothing),
    ),
    "nothing is waited for, and nothing burnt": defect(
        "although verified as not sent", wrap_gateways=broken(gateways.BurnsNothing), lookup_lag_ms=0
    ),
    "not found is not sent": defect(
        "although verified as not sent", wrap_gateways=broken(gateways.NotFoundIsNotSent)
    ),
    "silence is a decline": defect("declined by assumption", wrap_gateways=broken(gateways.SilenceIsDecline)),
    "pending is a success": defect("in no ledger", wrap_gateways=broken(gateways.PendingIsSuccess)),
    "what is given back is kept": defect("charged 2 times", wrap_gateways=broken(gateways.KeepsTheMoney)),
    "authorised money is never captured": defect("captured", wrap_gateways=broken(gateways.NeverCaptures)),
    "the horizon is too near": defect("money and log do not agree", of=UNHEARD, horizon_s=5),
}
OF_WRITERS = {
    "a call follows an ambiguous append": defect("told what is not on the log", wrap_log=logs.HopefulLog),
    "a call follows an ambiguous append, and charges": defect("charged 2 times", wrap_log=logs.HopefulLog),
    "a call does not wait for its start": defect("without a valid start", of=TORN, wrap_log=logs.HastyLog),
    "a void record is valid": defect(
        "charged 2 times",
        windows=False,
        of=PAUSES,
        wrap_log=logs.VoidIsValid,
        wrap_clock=machines.StoppingClock,
    ),
    "a timeout is retried against the merchant's wish": defect(
        "charged 2 times at once", wrap_log=logs.RetriesOnTimeout
    ),
    "a clock stops with its machine": defect(
        "outside its owner's window", of=PAUSES, wrap_clock=machines.StoppingClock
    ),
}
OF_VERIFIERS = {
    "a late success is only noted": defect(
        "charged 2 times", wrap_log=rewritten(logs.a_late_success_is_only_noted)
    ),
    "every late success is kept": defect(
        "charged 2 times", wrap_log=rewritten(logs.every_late_success_is_kept)
    ),
    "what nobody can tell is declined": defect(
        "declined by assumption", wrap_log=rewritten(logs.exhausted_is_declined)
    ),
    "whoever signs is believed": defect("in no ledger", make_queue=stores.BelievesWhoeverSigns),
    "any amount is believed": defect("in no ledger", make_queue=stores.BelievesAnyAmount),
    "an epoch has two claimants who do not look": defect(
        "was written by 2 writers", make_queue=stores.GivesTwice, wrap_histories=machines.SeesNobodyElse
    ),
    "a take-over folds a stale log": defect("ended, and then", wrap_histories=machines.StaleThrough),
    "the clocks of verifiers run two minutes ahead": defect(
        "money and log do not agree", of=UNHEARD, verifiers_ahead_ms=120_000
    ),
    "nobody hears of a duplicate charge": defect("nobody heard", wrap_alarms=lambda _: machines.Silence()),
    "one payment in five is tripped over": defect("IndexError", wrap_gateways=broken(gateways.TripsOverSome)),
}
OF_STORES = {
    "a store that forgot admits at once": defect("became 2 payments", forgets=True, admits_at_once=True),
    "a reservation without an answer is made": defect(
        "became 2 payments", make_reservations=stores.HopefulReservations
    ),
    "a verifier's window overlaps its owner's": defect(
        "ended, and then", make_reservations=stores.Overlapping
    ),
    "a watermark is kept without its rows": defect(
        "the read model is not the fold of the log", make_sink=stores.LosesRows
    ),
    "what is due is not kept": defect("does not know what is due", make_sink=stores.ForgetsWork),
}
DEFECTS: dict[str, Defect] = OF_GATEWAYS | OF_WRITERS | OF_VERIFIERS | OF_STORES
