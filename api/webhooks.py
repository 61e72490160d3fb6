"""`/webhooks/subscriptions`: who is told of what. A secret is shown when it is made, and never again."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import headers
from api.admin import Admin, Endpoint, signed
from api.answers import json_response
from api.body import BodyLimits, invalid, json_body, optional_json_body
from api.live_webhooks import LiveWebhooks
from api.ports import Deliveries
from commands.ports import Clock
from commands.webhook_subscription import Subscription, found
from infra.webhooks.secrets import Secrets
from infra.webhooks.targets import TargetRefused
from schemas.base import Value
from schemas.http import FieldError
from schemas.webhook import (
    AmendSubscription,
    EnableSubscription,
    RotateSecret,
    Subscribe,
    SubscriptionId,
    Unsubscribe,
)
from schemas.webhook_bodies import (
    AmendmentBody,
    RotationBody,
    SubscriptionBody,
    SubscriptionReasonBody,
    faults_in,
)

_SUBSCRIPTION = msgspec.json.Decoder(SubscriptionBody)
_REASON = msgspec.json.Decoder(SubscriptionReasonBody)
_AMENDMENT = msgspec.json.Decoder(AmendmentBody)
_ROTATION = msgspec.json.Decoder(RotationBody)

R = TypeVar("R", bound=SubscriptionReasonBody)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """What the routes need. `check_target` raises TargetRefused for an address that nothing may be sent to."""

    subscriptions: LiveWebhooks
    deliveries: Deliveries
    secrets: Secrets
    check_target: Callable[[str], Awaitable[None]]


class SubscriptionAnswer(Value, frozen=True, kw_only=True):
    subscription_id: SubscriptionId
    status: Literal["active", "disabled"]
    """Disabled: its receiver answered 410 Gone. What happens waits until somebody enables it."""
    url: str
    event_types: tuple[str, ...]
    merchant_ids: tuple[str, ...]
    secret_number: int
    """Counts its secrets, from 1."""
    former_secret_until: datetime | None
    """Until then deliveries are signed with the secret before it too."""
    created_at: datetime
    created_by: str
    note: str
    version: int


class SubscriptionsAnswer(Value, frozen=True, kw_only=True):
    subscriptions: tuple[SubscriptionAnswer, ...]


class SecretAnswer(Value, frozen=True, kw_only=True):
    """The only answer that ever holds the secret."""

    subscription: SubscriptionAnswer
    secret: str


class WebhookRoutes:
    def __init__(self, admin: Admin, webhooks: Webhooks, clock: Clock, limits: BodyLimits) -> None:
        self._admin = admin
        self._webhooks = webhooks
        self._clock = clock
        self._limits = limits

    def routes(self) -> list[Route]:
        every, one = "/webhooks/subscriptions", "/webhooks/subscriptions/{subscription_id}"
        return [
            self._route(every, {"GET": self.show_all, "POST": self.subscribe}),
            self._route(one, {"GET": self.show, "PATCH": self.amend, "DELETE": self.unsubscribe}),
            self._route(f"{one}/enable", {"POST": self.enable}),
            self._route(f"{one}/rotate-secret", {"POST": self.rotate}),
        ]

    def _route(self, path: str, by_method: dict[str, Endpoint]) -> Route:
        """One route for all of a path's methods, so that a 405 names them."""

        async def act(request: Request) -> Response:
            return await by_method["GET" if request.method == "HEAD" else request.method](request)

        return Route(path, self._admin.only(act, "webhooks"), methods=list(by_method))

    async def show_all(self, _: Request) -> Response:
        known = self._webhooks.subscriptions.loaded().known.values()
        return json_response(SubscriptionsAnswer(subscriptions=tuple(map(_answer, known))))

    async def show(self, request: Request) -> Response:
        one = found(self._webhooks.subscriptions.loaded(), _id(request))
        if headers.is_known(request, _etag(one)):
            return Response(None, 304, {"ETag": _etag(one)})
        return _shown(one)

    async def subscribe(self, request: Request) -> Response:
        body = await json_body(request, _SUBSCRIPTION, self._limits)
        if faults := faults_in(body):
            raise invalid(*faults)
        await self._check_target(body.url)
        command = Subscribe(
            subscription_id=SubscriptionId("whs_" + self._clock.event_id().removeprefix("evt_")),
            url=body.url,
            event_types=body.event_types,
            merchant_ids=body.merchant_ids,
            key=self._webhooks.secrets.newest,
            by=signed(request, body.by),
            note=body.note,
        )
        after = await self._webhooks.subscriptions.obey(command, request.state.request_id)
        one = after.known[command.subscription_id]
        return self._with_secret(one, 201, {"Location": f"/webhooks/subscriptions/{one.subscription_id}"})

    async def amend(self, request: Request) -> Response:
        version = headers.if_match(request)
        body = await json_body(request, _AMENDMENT, self._limits)
        if faults := faults_in(body):
            raise invalid(*faults)
        one = found(self._webhooks.subscriptions.loaded(), _id(request))
        if body.url is not UNSET:
            await self._check_target(body.url)
        command = AmendSubscription(
            subscription_id=one.subscription_id,
            url=one.url if body.url is UNSET else body.url,
            event_types=one.event_types if body.event_types is UNSET else body.event_types,
            merchant_ids=one.merchant_ids if body.merchant_ids is UNSET else body.merchant_ids,
            by=signed(request, body.by),
            note=one.note if body.note is UNSET else body.note,
            instead_of_version=version,
        )
        after = await self._webhooks.subscriptions.obey(command, request.state.request_id)
        return _shown(after.known[one.subscription_id])

    async def enable(self, request: Request) -> Response:
        body = await self._reason(request, _REASON, SubscriptionReasonBody())
        one = found(self._webhooks.subscriptions.loaded(), _id(request))
        command = EnableSubscription(
            subscription_id=one.subscription_id,
            by=signed(request, body.by),
            note=body.note,
            instead_of_version=headers.if_match(request, otherwise=one.version),
        )
        after = await self._webhooks.subscriptions.obey(command, request.state.request_id)
        return _shown(after.known[one.subscription_id])

    async def rotate(self, request: Request) -> Response:
        body = await self._reason(request, _ROTATION, RotationBody())
        one = found(self._webhooks.subscriptions.loaded(), _id(request))
        command = RotateSecret(
            subscription_id=one.subscription_id,
            key=self._webhooks.secrets.newest,
            at=self._clock.now(),
            by=signed(request, body.by),
            note=body.note,
            instead_of_version=headers.if_match(request, otherwise=one.version),
            drop_former=body.drop_former,
        )
        after = await self._webhooks.subscriptions.obey(command, request.state.request_id)
        return self._with_secret(after.known[one.subscription_id], 200, {})

    async def unsubscribe(self, request: Request) -> Response:
        body = await self._reason(request, _REASON, SubscriptionReasonBody())
        one = found(self._webhooks.subscriptions.loaded(), _id(request))
        command = Unsubscribe(
            subscription_id=one.subscription_id,
            by=signed(request, body.by),
            note=body.note,
            instead_of_version=headers.if_match(request, otherwise=one.version),
        )
        await self._webhooks.subscriptions.obey(command, request.state.request_id)
        return Response(None, 204)

    async def _check_target(self, url: str) -> None:
        try:
            await self._webhooks.check_target(url)
        except TargetRefused as refused:
            raise invalid(FieldError(pointer="/url", detail=str(refused))) from None

    async def _reason(self, request: Request, decoder: msgspec.json.Decoder[R], otherwise: R) -> R:
        body = await optional_json_body(request, decoder, self._limits, otherwise)
        if faults := faults_in(body):
            raise invalid(*faults)
        return body

    def _with_secret(self, one: Subscription, status: int, answered: dict[str, str]) -> Response:
        answer = SecretAnswer(
            subscription=_answer(one), secret=self._webhooks.secrets.shown(one.subscription_id, one.secret)
        )
        return json_response(answer, status, {**answered, "ETag": _etag(one), "Cache-Control": "no-store"})


def _id(request: Request) -> SubscriptionId:
    return SubscriptionId(request.path_params["subscription_id"])


def _etag(one: Subscription) -> str:
    return f'"{one.version}"'


def _shown(one: Subscription) -> Response:
    return json_response(_answer(one), 200, {"ETag": _etag(one)})


def _answer(one: Subscription) -> SubscriptionAnswer:
    return SubscriptionAnswer(
        subscription_id=one.subscription_id,
        status="disabled" if one.is_disabled else "active",
        url=one.url,
        event_types=one.event_types,
        merchant_ids=one.merchant_ids,
        secret_number=one.secret.number,
        former_secret_until=one.former_until,
        created_at=one.created_at,
        created_by=one.by,
        note=one.note,
        version=one.version,
    )
