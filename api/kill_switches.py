"""`/kill-switches`: what operators have switched off, and the way to do it at once."""

import msgspec
from msgspec.structs import asdict, replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import headers
from api.admin import Admin, signed
from api.answers import json_response
from api.body import BodyLimits, field_error, invalid, json_body
from api.configuration_answers import KillSwitchAnswer, KillSwitchesAnswer, told
from api.ports import Configuration
from commands.ports import RoutingFacts
from commands.routing.configuration import Configured
from commands.routing.configuration_faults import faults_in
from commands.routing.gateways import served
from commands.routing.kill_switches import is_on, turned
from schemas.configuration import KILL_SWITCH, TurnKillSwitch, kill_switch, kind_of
from schemas.errors import Refusal, Refused
from schemas.http import FieldError
from schemas.routing_bodies import KillSwitchBody
from schemas.routing_configuration import KillSwitch

_DECODER = msgspec.json.Decoder(KillSwitchBody)


class KillSwitchRoutes:
    def __init__(
        self, admin: Admin, configuration: Configuration, facts: RoutingFacts, limits: BodyLimits
    ) -> None:
        self._admin = admin
        self._configuration = configuration
        self._facts = facts
        self._limits = limits

    def routes(self) -> list[Route]:
        return [
            Route(
                "/kill-switches",
                self._admin.read_or(self._page_or_turn, "configuration"),
                methods=["GET", "POST"],
            )
        ]

    async def _page_or_turn(self, request: Request) -> Response:
        """One route for both, so that a 405 names both."""
        return await (self.turn if request.method == "POST" else self.page)(request)

    async def page(self, _: Request) -> Response:
        configured = self._configuration.loaded()
        ever_on = sorted(name for name in configured.settings if name.startswith(KILL_SWITCH))
        switches = tuple(self._answer(_switch_of(aggregate), configured) for aggregate in ever_on)
        return json_response(KillSwitchesAnswer(switches=switches))

    async def turn(self, request: Request) -> Response:
        """Without If-Match the last word counts: nobody has to look first while payments go wrong."""
        body = await json_body(request, _DECODER, self._limits)
        switch = _switch(body)
        known = self._configuration.loaded().setting(kill_switch(switch)).version
        command = TurnKillSwitch(
            switch=switch,
            on=body.on,
            gateways=self._facts.gateways(),
            by=signed(request, body.by),
            note=body.note,
            instead_of_version=headers.if_match(request, otherwise=known),
        )
        if faults := faults_in(command):
            raise invalid(*faults)
        return told(self._answer(switch, await self._turned(command, request)))

    async def _turned(self, command: TurnKillSwitch, request: Request) -> Configured:
        request_id, has_looked = request.state.request_id, bool(headers.values(request.scope, b"if-match"))
        try:
            return await self._configuration.set(command, request_id)
        except Refused as refused:
            if has_looked or refused.reason is not Refusal.STALE_VERSION:
                raise
        version = self._configuration.loaded().setting(kill_switch(command.switch)).version
        return await self._configuration.set(replace(command, instead_of_version=version), request_id)

    def _answer(self, switch: KillSwitch, configured: Configured) -> KillSwitchAnswer:
        gateways, off = self._facts.gateways(), configured.routing.off
        lost = served(gateways, turned(switch, off, on=False)) - served(gateways, off)
        return KillSwitchAnswer(
            **asdict(configured.setting(kill_switch(switch))),
            kind=kind_of(switch),
            name=switch.name,
            on=is_on(switch, off),
            warnings=tuple(
                FieldError(pointer="/name", detail=f"no gateway is left for {method} in {currency}")
                for method, currency in sorted(lost)
            ),
        )


def _switch(body: KillSwitchBody) -> KillSwitch:
    try:
        return _of(body.kind, body.name)
    except msgspec.ValidationError as error:
        raise invalid(field_error(str(error))) from None


def _switch_of(aggregate: str) -> KillSwitch:
    kind, _, name = aggregate.removeprefix(KILL_SWITCH).partition(":")
    return _of(kind, name)


def _of(kind: str, name: str) -> KillSwitch:
    switch: KillSwitch = msgspec.convert({"kind": kind, "name": name}, KillSwitch)
    return switch
