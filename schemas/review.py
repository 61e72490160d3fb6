"""What a person says who decides about an attempt that verification could not settle."""

from typing import Annotated, Literal

from msgspec import Meta

from schemas.base import Body
from schemas.http import FieldError, faults_of_text


class SettleBody(Body, frozen=True, kw_only=True):
    """`POST /reviews/{payment_id}/settle`."""

    attempt_id: Annotated[str, Meta(pattern=r"^att_[0-9a-z_]{1,36}$(?!\n)")]
    verdict: Literal["succeeded", "declined", "not_sent"]
    note: Annotated[str, Meta(min_length=1, max_length=500)]
    """Why: it is on the log for ever."""
    settled_by: Annotated[str, Meta(min_length=1, max_length=64)]
    gateway_reference: Annotated[str, Meta(pattern=r"^[!-~]{1,128}$(?!\n)")] | None = None


def faults_in(body: SettleBody) -> list[FieldError]:
    """What is wrong with a body whose every field is well formed by itself."""
    faults = []
    if body.verdict == "succeeded" and body.gateway_reference is None:
        faults.append(FieldError(pointer="/gateway_reference", detail="is required of a success"))
    for field in ("note", "settled_by", "gateway_reference"):
        faults += faults_of_text(field, getattr(body, field) or "")
    return faults
