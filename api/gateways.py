"""`/gateways`: what routing may do with each gateway, read and set by operators.

Which gateways there are, and how they are spoken to, is in files and in the environment; what is set here comes on top.
"""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import headers
from api.admin import Admin, signed
from api.answers import json_response
from api.body import BodyLimits, invalid, json_body
from api.configuration_answers import GatewaysAnswer, gateway_answer, shown, told
from api.errors import Fault, Rejected
from api.ports import Configuration
from commands.routing.configuration_faults import faults_in
from schemas.configuration import SetGateway
from schemas.gateway import NO_TERMS, GatewayConfiguration, GatewayTerms
from schemas.routing_bodies import GatewayBody

_DECODER = msgspec.json.Decoder(GatewayBody)


class GatewayRoutes:
    def __init__(
        self,
        admin: Admin,
        configuration: Configuration,
        configured: Sequence[GatewayConfiguration],
        limits: BodyLimits,
    ) -> None:
        self._admin = admin
        self._configuration = configuration
        self._configured = tuple(configured)
        self._limits = limits

    def routes(self) -> list[Route]:
        return [
            Route("/gateways", self._admin.only(self.page, "read"), methods=["GET"]),
            Route(
                "/gateways/{id}",
                self._admin.read_or(self._show_or_set, "configuration"),
                methods=["GET", "PATCH"],
            ),
        ]

    async def page(self, _: Request) -> Response:
        configured = self._configuration.loaded()
        return json_response(
            GatewaysAnswer(gateways=tuple(gateway_answer(one, configured) for one in self._configured))
        )

    async def _show_or_set(self, request: Request) -> Response:
        """One route for both, so that a 405 names both."""
        return await (self.set if request.method == "PATCH" else self.show)(request)

    async def show(self, request: Request) -> Response:
        return shown(request, gateway_answer(self._gateway(request), self._configuration.loaded()))

    async def set(self, request: Request) -> Response:
        gateway, version = self._gateway(request), headers.if_match(request)
        body = await json_body(request, _DECODER, self._limits)
        before = self._configuration.loaded().routing.gateways.get(gateway.id, NO_TERMS)
        command = SetGateway(
            gateway=gateway.id,
            terms=_merged(before, body),
            configured=self._configured,
            by=signed(request, body.by),
            note=body.note,
            instead_of_version=version,
        )
        if faults := faults_in(command):
            raise invalid(*faults)
        configured = await self._configuration.set(command, request.state.request_id)
        return told(gateway_answer(gateway, configured))

    def _gateway(self, request: Request) -> GatewayConfiguration:
        for one in self._configured:
            if one.id == request.path_params["id"]:
                return one
        raise Rejected(Fault.NO_SUCH_GATEWAY, "There is no gateway of this id.")


def _merged(before: GatewayTerms, body: GatewayBody) -> GatewayTerms:
    given = {name: getattr(body, name) for name in GatewayTerms.__struct_fields__}
    return replace(before, **{name: value for name, value in given.items() if value is not UNSET})
