"""What is wrong with a proposed experiment whose every field is well formed by itself: all of it at once.

Pointers are into the body that proposed it (RFC 6901), and nothing quotes what the client sent.
"""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from commands.routing.rule_faults import (
    Gateways,
    by_id,
    condition_faults,
    list_faults,
    share_faults,
    text_faults,
)
from schemas.experiment import (
    BUCKETS,
    Design,
    Guardrails,
    Override,
    RetryOverride,
    StartExperiment,
    Variant,
)
from schemas.http import FieldError
from schemas.routing_configuration import Condition


def faults_in(command: StartExperiment) -> list[FieldError]:
    return [
        *_of_design(command.design),
        *_of_plan(command.design, command.limits),
        *_of_variants(command.design.variants),
        *_of_overrides(command),
        *condition_faults("/filter", command.design.filter),
        *text_faults("/by", command.by),
        *text_faults("/note", command.note),
    ]


def _of_design(design: Design) -> Iterator[FieldError]:
    yield from text_faults("/name", design.name)
    if design.name != design.name.strip():
        yield FieldError(pointer="/name", detail="begins or ends with a space")
    yield from text_faults("/group", design.group or "")


def _of_plan(design: Design, limits: Guardrails) -> Iterator[FieldError]:
    own, usual = design.guardrails.min_samples, limits.min_samples
    if own is not None and own > design.planned_customers:
        detail = "is more than planned_customers: nothing could be said at the planned end"
        yield FieldError(pointer="/guardrails/min_samples", detail=detail)
    if own is None and usual is not None and usual > design.planned_customers:
        detail = f"is less than the {usual} of whom anything is said: plan for more, or set min_samples"
        yield FieldError(pointer="/planned_customers", detail=detail)


def _of_variants(variants: Sequence[Variant]) -> Iterator[FieldError]:
    names = [variant.name for variant in variants]
    control, *treatments = variants
    for place, name in enumerate(names):
        yield from text_faults(f"/variants/{place}/name", name)
        if name in names[:place]:
            yield FieldError(pointer=f"/variants/{place}/name", detail="is the name of an earlier variant")
    if control.weight == 0:
        detail = "is 0: treatments would be compared with nobody"
        yield FieldError(pointer="/variants/0/weight", detail=detail)
    tried = [one for one in treatments if one.weight]
    if not tried:
        yield FieldError(pointer="/variants", detail="give no treatment any weight")
    elif all(_plain(one.override) == _plain(control.override) for one in tried):
        detail = "are all alike: no payment would be routed differently, and nobody exposed"
        yield FieldError(pointer="/variants", detail=detail)
    if sum(one.weight for one in variants) > BUCKETS:
        yield FieldError(pointer="/variants", detail=f"weigh more than {BUCKETS} in all")


def _plain(override: Override) -> Override:
    """Without what is there and says nothing."""
    return replace(override, retry=None) if override.retry == RetryOverride() else override


def _of_overrides(command: StartExperiment) -> Iterator[FieldError]:
    gateways, when = by_id(command.gateways), command.design.filter
    for place, variant in enumerate(command.design.variants):
        here = f"/variants/{place}/override"
        yield from _of_override(here, variant.override, when, gateways)
        if variant.override.retry is not None:
            yield from _of_retry(f"{here}/retry", variant.override.retry, when, command.budgets_ms)


def _of_override(here: str, override: Override, when: Condition, gateways: Gateways) -> Iterator[FieldError]:
    if override.order is not None:
        yield from list_faults(f"{here}/order", override.order, gateways)
    if override.share is not None:
        yield from share_faults(f"{here}/share", override.share, when, gateways)
    if override.order is not None and override.share is not None:
        yield FieldError(pointer=f"{here}/share", detail="is given beside order: either says who is first")
    if override.bandit is not None and (override.order is not None or override.share is not None):
        detail = "would not be asked: order or share says who is first"
        yield FieldError(pointer=f"{here}/bandit", detail=detail)


def _of_retry(
    here: str, retry: RetryOverride, when: Condition, budgets_ms: Sequence[int]
) -> Iterator[FieldError]:
    if retry.enabled is False:
        for field in ("max_attempts", "retry_on_timeout"):
            if getattr(retry, field) is not None:
                detail = "says nothing: without retries there is one attempt"
                yield FieldError(pointer=f"{here}/{field}", detail=detail)
    elif retry.retry_on_timeout and when.merchant_ids is None:
        detail = (
            "may charge a customer twice and give one back: name the merchants who allow it in the filter"
        )
        yield FieldError(pointer=f"{here}/retry_on_timeout", detail=detail)
    budget_ms = retry.latency_budget_ms
    if budget_ms is not None and budgets_ms and budget_ms >= max(budgets_ms):
        detail = "changes nothing: a budget only ever shrinks, and those of its merchants are no longer"
        yield FieldError(pointer=f"{here}/latency_budget_ms", detail=detail)
