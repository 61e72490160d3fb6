"""`/webhooks/deliveries`: what was sent to whom, what came of it, and sending it again."""

import re
from collections.abc import Sequence
from typing import get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import paging
from api.admin import Admin, signed
from api.answers import json_response
from api.body import BodyLimits, invalid, optional_json_body
from api.errors import Fault, Rejected
from api.webhooks import Webhooks
from commands.webhook_subscription import found
from schemas.base import Value
from schemas.delivery import DeliveryFilter, DeliveryStatus, DeliveryView
from schemas.errors import Refusal, Refused
from schemas.webhook import DeliveryId, ReplayDeliveries, SubscriptionId
from schemas.webhook_bodies import ReplayBody, SubscriptionReasonBody, faults_in
from schemas.webhook_types import TYPES

_REASON = msgspec.json.Decoder(SubscriptionReasonBody)
_REPLAY = msgspec.json.Decoder(ReplayBody)
_DELIVERY_ID = re.compile(r"dlv_[0-9a-z]{26}")
_NAME = re.compile(r"[!-~]{1,100}")


class DeliveriesAnswer(Value, frozen=True, kw_only=True):
    """Newest first; `next` is the `before` of the next page, None at the end."""

    deliveries: tuple[DeliveryView, ...]
    next: DeliveryId | None


class ReplayAnswer(Value, frozen=True, kw_only=True):
    """`next` is the `after` of the request for what follows, None where nothing does."""

    replayed: int
    next: DeliveryId | None


class DeliveryRoutes:
    def __init__(self, admin: Admin, webhooks: Webhooks, limits: BodyLimits) -> None:
        self._admin = admin
        self._webhooks = webhooks
        self._limits = limits

    def routes(self) -> list[Route]:
        one = "/webhooks/deliveries/{delivery_id}/replay"
        every = "/webhooks/subscriptions/{subscription_id}/replay"
        return [
            Route("/webhooks/deliveries", self._admin.only(self.page, "webhooks"), methods=["GET"]),
            Route(one, self._admin.only(self.replay, "webhooks"), methods=["POST"]),
            Route(every, self._admin.only(self.replay_dead, "webhooks"), methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        limit = paging.limit(request)
        page = await self._webhooks.deliveries.page(_before(request), _filter(request), limit + 1)
        return json_response(
            DeliveriesAnswer(
                deliveries=tuple(page[:limit]),
                next=page[limit - 1].delivery_id if len(page) > limit else None,
            )
        )

    async def replay(self, request: Request) -> Response:
        """Whatever became of it: it is due now, under the id that its receiver may know."""
        body = await optional_json_body(request, _REASON, self._limits, SubscriptionReasonBody())
        delivery = await self._find(request.path_params["delivery_id"])
        if delivery.subscription_id not in self._webhooks.subscriptions.loaded().known:
            raise Refused(Refusal.SUBSCRIPTION_CONFLICT, "Its subscription has ended.")
        await self._replay(request, body, delivery.subscription_id, [delivery.delivery_id])
        return json_response(await self._find(delivery.delivery_id), 202)

    async def replay_dead(self, request: Request) -> Response:
        """Those of one subscription that were given up, the oldest first."""
        body = await optional_json_body(request, _REPLAY, self._limits, ReplayBody())
        one = found(self._webhooks.subscriptions.loaded(), request.path_params["subscription_id"])
        dead = await self._webhooks.deliveries.dead_of(one.subscription_id, body.after, body.limit)
        await self._replay(request, body, one.subscription_id, dead)
        following = dead[-1] if len(dead) == body.limit else None
        return json_response(ReplayAnswer(replayed=len(dead), next=following), 202)

    async def _replay(
        self,
        request: Request,
        body: SubscriptionReasonBody,
        of: SubscriptionId,
        delivery_ids: Sequence[DeliveryId],
    ) -> None:
        """It is on the log before it is done: whoever finds it there and not done asks again."""
        if faults := faults_in(body):
            raise invalid(*faults)
        if delivery_ids:
            command = ReplayDeliveries(
                subscription_id=of,
                delivery_ids=tuple(delivery_ids),
                by=signed(request, body.by),
                note=body.note,
            )
            await self._webhooks.subscriptions.obey(command, request.state.request_id)
            await self._webhooks.deliveries.replay(delivery_ids)

    async def _find(self, delivery_id: str) -> DeliveryView:
        is_one = _DELIVERY_ID.fullmatch(delivery_id) is not None
        delivery = await self._webhooks.deliveries.find(DeliveryId(delivery_id)) if is_one else None
        if delivery is None:
            raise Refused(Refusal.DELIVERY_NOT_FOUND, "There is no such delivery, or it is no longer kept.")
        return delivery


def _before(request: Request) -> DeliveryId | None:
    text = request.query_params.get("before")
    if text is not None and _DELIVERY_ID.fullmatch(text) is None:
        raise Rejected(Fault.MALFORMED_QUERY, "before is the id of a delivery.")
    return DeliveryId(text) if text is not None else None


def _filter(request: Request) -> DeliveryFilter:
    status = _one_of(request, "status", get_args(DeliveryStatus))
    event_type = _one_of(request, "event_type", tuple(TYPES.values()))
    return DeliveryFilter(
        subscription_id=_name(request, "subscription_id"),
        status=status,  # type: ignore[arg-type]  # one of them
        event_type=event_type,
        subject=_name(request, "subject"),
    )


def _one_of(request: Request, field: str, known: tuple[str, ...]) -> str | None:
    given = request.query_params.get(field)
    if given is not None and given not in known:
        raise Rejected(Fault.MALFORMED_QUERY, f"{field} is one of {', '.join(known)}.")
    return given


def _name(request: Request, field: str) -> str | None:
    given = request.query_params.get(field)
    if given is not None and _NAME.fullmatch(given) is None:
        raise Rejected(Fault.MALFORMED_QUERY, f"{field} is up to 100 printable characters.")
    return given
