"""The bodies by which experiments are started and led."""

from typing import Annotated

from msgspec import Meta

from schemas.base import Body
from schemas.experiment import BUCKETS, Design
from schemas.routing_bodies import By, Note


class ExperimentBody(Design, frozen=True, kw_only=True):
    """`POST /experiments`."""

    by: By
    note: Note = ""


class ReasonBody(Body, frozen=True, kw_only=True):
    """`POST /experiments/{id}/pause` and `/stop`."""

    by: By = "operator"
    note: Note = ""


class ResumeBody(ReasonBody, frozen=True, kw_only=True):
    """`POST /experiments/{id}/resume`. Every weight is multiplied by `scale`."""

    scale: Annotated[float, Meta(ge=1, le=BUCKETS)] = 1.0
