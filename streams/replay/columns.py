"""Records as columns: all that lies on the log, exactly, and beside it with types what is asked most.

`key`, `value` or `raw`, and `headers` are the record itself, so that it can be replayed from here; `raw` is a value
that is no text. What cannot be read has no envelope or no fields, and is kept all the same.
"""

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import astuple

from projections.ports import RawRecord
from schemas.base import Value

_MOMENT = pa.timestamp("us", tz="UTC")
_TEXT, _NUMBER, _BYTES, _TRUTH = pa.string(), pa.int64(), pa.binary(), pa.bool_()

_ENVELOPE: dict[str, tuple[str, pa.DataType]] = {
    "type": ("ce_type", _TEXT),
    "aggregate_id": ("ce_subject", _TEXT),
    "sequence": ("ce_sequence", _NUMBER),
    "epoch": ("ce_epoch", _NUMBER),
    "at": ("ce_time", _MOMENT),
    "valid_from_ms": ("ce_validfrom", _NUMBER),
    "valid_until_ms": ("ce_validuntil", _NUMBER),
    "event_id": ("ce_id", _TEXT),
    "correlation_id": ("ce_correlationid", _TEXT),
    "causation_id": ("ce_causationid", _TEXT),
}
"""Of each column the header that it is made of."""


class _Order(Value, frozen=True, kw_only=True):
    merchant_id: str | None = None
    customer_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    payment_method: str | None = None


class _Reason(Value, frozen=True, kw_only=True):
    code: str | None = None
    blame: str | None = None


class _Dimensions(Value, frozen=True, kw_only=True):
    payment_method: str | None = None
    amount_band: str | None = None
    issuer: str | None = None
    network: str | None = None
    segment: str | None = None


class _Account(Value, frozen=True, kw_only=True):
    started_at: str | None = None
    dimensions: _Dimensions | None = None


class _Fields(Value, frozen=True, kw_only=True):
    """What is read of an event, whatever its type; everything else is passed over."""

    customer_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    payment_method: str | None = None
    attempt_id: str | None = None
    gateway: str | None = None
    started_at: str | None = None
    latency_ms: int | None = None
    verified: bool | None = None
    reason: str | None = None
    strategy: str | None = None
    experiment_id: str | None = None
    variant: str | None = None
    order: _Order | None = None
    decline: _Reason | None = None
    failure: _Reason | None = None
    account: _Account | None = None


_FIELDS: dict[str, tuple[pa.DataType, tuple[str, ...]]] = {
    "merchant_id": (_TEXT, ("order.merchant_id",)),
    "customer_id": (_TEXT, ("customer_id", "order.customer_id")),
    "amount_minor": (_NUMBER, ("amount_minor", "order.amount_minor")),
    "currency": (_TEXT, ("currency", "order.currency")),
    "payment_method": (_TEXT, ("payment_method", "order.payment_method", "dimensions.payment_method")),
    "attempt_id": (_TEXT, ("attempt_id",)),
    "gateway": (_TEXT, ("gateway",)),
    "started_at": (_MOMENT, ("started_at", "account.started_at")),
    "latency_ms": (_NUMBER, ("latency_ms",)),
    "verified": (_TRUTH, ("verified",)),
    "reason": (_TEXT, ("reason",)),
    "code": (_TEXT, ("reason.code",)),
    "blame": (_TEXT, ("reason.blame",)),
    "amount_band": (_TEXT, ("dimensions.amount_band",)),
    "issuer": (_TEXT, ("dimensions.issuer",)),
    "network": (_TEXT, ("dimensions.network",)),
    "segment": (_TEXT, ("dimensions.segment",)),
    "strategy": (_TEXT, ("strategy",)),
    "experiment_id": (_TEXT, ("experiment_id",)),
    "variant": (_TEXT, ("variant",)),
}
"""Of each column where it may stand in an event: the first that is there."""

SCHEMA = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", _NUMBER),
        ("stamp", _MOMENT),
        ("void", _TRUTH),
        *((name, kind) for name, (_, kind) in _ENVELOPE.items()),
        *((name, kind) for name, (kind, _) in _FIELDS.items()),
        ("value", _TEXT),
        ("raw", _BYTES),
        ("key", _BYTES),
        ("headers", pa.list_(pa.struct([("name", _TEXT), ("value", _BYTES)]))),
    ]
)
FOR_PEOPLE = [name for name in SCHEMA.names if name not in ("raw", "key", "headers")]
"""What a text file has: it cannot be replayed."""

_decode = msgspec.json.Decoder(_Fields).decode
_NOTHING, _NO_ORDER, _NO_REASON, _NO_ACCOUNT, _NO_DIMENSIONS = (
    _Fields(),
    _Order(),
    _Reason(),
    _Account(),
    _Dimensions(),
)
_PLACES = [
    f"{part}{name}"
    for part, kind in (
        ("", _Fields),
        ("order.", _Order),
        ("reason.", _Reason),
        ("account.", _Account),
        ("dimensions.", _Dimensions),
    )
    for name in kind.__struct_fields__
]
"""What `_picked` picks."""


def table(records: Sequence[RawRecord]) -> pa.Table:
    """A row for each; equal records give equal tables, however they came here."""
    stamps = pa.array([record.timestamp for record in records], _NUMBER)
    names, contents = _flat(records)
    envelope = _envelope(records, names, contents)
    columns = {
        "partition": pa.array([record.partition for record in records], pa.int32()),
        "offset": pa.array([record.offset for record in records], _NUMBER),
        "stamp": stamps.cast(pa.timestamp("ms", tz="UTC")).cast(_MOMENT),
        "void": pc.invert(
            pc.and_(
                pc.less_equal(envelope["valid_from_ms"], stamps),
                pc.less(stamps, envelope["valid_until_ms"]),
            )
        ),
        **envelope,
        **_fields(records),
        **_values(records),
        "key": pa.array([record.key for record in records], _BYTES),
        "headers": _headers(records, names, contents),
    }
    return pa.table(columns, schema=SCHEMA)


def _flat(records: Sequence[RawRecord]) -> tuple[Sequence[str], Sequence[bytes | None]]:
    """Of all headers of all records, the names and the contents."""
    headers = list(chain.from_iterable(record.headers for record in records))
    names, contents = zip(*headers, strict=True) if headers else ((), ())
    return names, contents


def _envelope(
    records: Sequence[RawRecord], names: Sequence[str], contents: Sequence[bytes | None]
) -> dict[str, pa.Array]:
    """Nearly always all records have the same headers in the same order, and a column is every so many of them."""
    first = tuple(name for name, _ in records[0].headers)
    if names == first * len(records) and len(set(first)) == len(first):
        found = {name: contents[place :: len(first)] for place, name in enumerate(first)}
        nothing: Sequence[None] = (None,) * len(records)
        return {
            column: _converted(found.get(name, nothing), kind) for column, (name, kind) in _ENVELOPE.items()
        }
    of_each = [dict(record.headers) for record in records]
    return {
        column: _converted([headers.get(name) for headers in of_each], kind)
        for column, (name, kind) in _ENVELOPE.items()
    }


def _fields(records: Sequence[RawRecord]) -> dict[str, pa.Array]:
    rows = [_picked(record.value) for record in records]
    found = dict(zip(_PLACES, zip(*rows, strict=True), strict=True))
    return {
        column: pc.coalesce(*(_converted(found[place], kind) for place in places))
        for column, (kind, places) in _FIELDS.items()
    }


def _picked(value: bytes | None) -> tuple[Any, ...]:
    try:
        fields = _decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = _NOTHING
    account = fields.account or _NO_ACCOUNT
    return (
        *astuple(fields),
        *astuple(fields.order or _NO_ORDER),
        *astuple(fields.decline or fields.failure or _NO_REASON),
        *astuple(account),
        *astuple(account.dimensions or _NO_DIMENSIONS),
    )


def _values(records: Sequence[RawRecord]) -> dict[str, pa.Array]:
    values = [record.value for record in records]
    try:
        return {"value": pa.array(values, _TEXT), "raw": pa.nulls(len(values), _BYTES)}
    except pa.ArrowInvalid:
        texts = [_text(value) for value in values]
        raw = [value if text is None else None for value, text in zip(values, texts, strict=True)]
        return {"value": pa.array(texts, _TEXT), "raw": pa.array(raw, _BYTES)}


def _headers(
    records: Sequence[RawRecord], names: Sequence[str], contents: Sequence[bytes | None]
) -> pa.Array:
    ends = list(accumulate((len(record.headers) for record in records), initial=0))
    pairs = pa.StructArray.from_arrays(
        [pa.array(names, _TEXT), pa.array(contents, _BYTES)], names=["name", "value"]
    )
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pairs)


def _converted(found: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """All at once where each is what it should be; otherwise one by one, and null for those that are not.

    Numbers and moments that came as bytes or as text are read as such.
    """
    try:
        return _read(found, kind)
    except (pa.ArrowException, OverflowError):
        return pa.concat_arrays([_one(value, kind) for value in found])


def _one(value: Any, kind: pa.DataType) -> pa.Array:
    try:
        return _read([value], kind)
    except (pa.ArrowException, OverflowError):
        return pa.nulls(1, kind)


def _read(found: Sequence[Any], kind: pa.DataType) -> pa.Array:
    is_text = kind == _MOMENT or any(isinstance(one, bytes) for one in found[:1])
    return pa.array(found, _TEXT).cast(kind) if is_text else pa.array(found, kind)


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
