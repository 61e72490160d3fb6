"""Everything that can go wrong and has a name.

PaymentsError
├── Refused             the command is not admissible as things stand: nothing was done; becomes HTTP in api/errors.py
├── Unreadable          bytes on the log or in a request that are no value of ours
├── BadSignature        a notification that its gateway has not signed with a secret we know
├── LogBroken           records that were asked for are not, or no longer, on the log: nobody may go on as if they were
└── Unavailable         a part we need did not answer in time
    ├── LogUnavailable      certainly nothing was appended
    │   └── NoSuchTopic         or partition: mistyped, or yet to be made
    ├── AppendAmbiguous     some, all or none of it may be on the log, now or later
    ├── StoreUnavailable    Postgres
    │   └── FilledByReplay      it answers, and nobody may act on what it says
    └── ReadTooFarBehind    the projection lags by more than may be folded on top
"""

from enum import StrEnum


class PaymentsError(Exception):
    pass


class Refusal(StrEnum):
    KEY_MISSING = "idempotency-key-missing"
    KEY_INVALID = "idempotency-key-invalid"
    KEY_REUSED = "idempotency-key-reused"
    PAYMENT_IN_PROGRESS = "payment-in-progress"
    NO_ELIGIBLE_GATEWAY = "no-eligible-gateway"
    UNSUPPORTED_PAYMENT = "unsupported-payment"
    METHOD_SWITCHED_OFF = "payment-method-switched-off"
    MERCHANT_SWITCHED_OFF = "merchant-switched-off"
    TOO_BUSY = "too-busy"
    NOT_ADMITTING = "not-admitting"
    LOG_UNAVAILABLE = "log-unavailable"
    STORE_UNAVAILABLE = "store-unavailable"
    PAYMENT_NOT_FOUND = "payment-not-found"
    NOT_IN_REVIEW = "not-in-review"
    REFERENCE_MISSING = "gateway-reference-missing"
    STALE_VERSION = "stale-version"
    UNCONFIRMED = "unconfirmed"
    NO_GATEWAY_LEFT = "no-gateway-left"
    SEGMENT_NOT_FOUND = "segment-not-found"
    EXPERIMENT_NOT_FOUND = "experiment-not-found"
    EXPERIMENT_CONFLICT = "experiment-conflict"
    SUBSCRIPTION_NOT_FOUND = "subscription-not-found"
    SUBSCRIPTION_CONFLICT = "subscription-conflict"
    DELIVERY_NOT_FOUND = "delivery-not-found"


class Refused(PaymentsError):
    def __init__(self, reason: Refusal, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retry_after_s = retry_after_s


class Unreadable(PaymentsError):
    pass


class BadSignature(PaymentsError):
    pass


class LogBroken(PaymentsError):
    pass


class Unavailable(PaymentsError):
    pass


class LogUnavailable(Unavailable):
    pass


class NoSuchTopic(LogUnavailable):
    pass


class AppendAmbiguous(Unavailable):
    pass


class StoreUnavailable(Unavailable):
    pass


class FilledByReplay(StoreUnavailable):
    def __init__(self) -> None:
        super().__init__(
            "this database was filled by a replay, and keys that were reserved before are free in it: DATABASE_URL "
            "must name the product's own, or a new one, which the workers fill from the log"
        )


class ReadTooFarBehind(Unavailable):
    pass
