"""`/retry-policy/{merchant_id}`: how often and how long a merchant's payments are tried, read and set by operators."""

import msgspec
from msgspec import UNSET
from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import headers
from api.admin import Admin, signed
from api.body import BodyLimits, invalid, json_body, optional_json_body
from api.configuration_answers import RetryPolicyAnswer, retry_policy_answer, shown, told
from api.errors import Fault, Rejected
from api.live_facts import Registry
from api.ports import Configuration
from commands.routing.configuration import Configured
from commands.routing.configuration_faults import faults_in
from schemas.configuration import SetRetryPolicy
from schemas.experiment_bodies import ReasonBody
from schemas.http import FieldError, is_party
from schemas.routing_bodies import RetryPolicyBody
from schemas.routing_configuration import MerchantRetryPolicy, RetryPolicy

_POLICY = msgspec.json.Decoder(RetryPolicyBody)
_REASON = msgspec.json.Decoder(ReasonBody)


class RetryPolicyRoutes:
    """`drained_budget_ms`: payments that take longer may be cut off by a restart."""

    def __init__(
        self,
        admin: Admin,
        configuration: Configuration,
        registry: Registry,
        drained_budget_ms: int,
        limits: BodyLimits,
    ) -> None:
        self._admin = admin
        self._configuration = configuration
        self._registry = registry
        self._drained_budget_ms = drained_budget_ms
        self._limits = limits

    def routes(self) -> list[Route]:
        guarded = self._admin.read_or(self._show_or_set, "configuration")
        return [Route("/retry-policy/{merchant_id}", guarded, methods=["GET", "PUT", "DELETE"])]

    async def _show_or_set(self, request: Request) -> Response:
        """One route for all, so that a 405 names all."""
        merchant_id: str = request.path_params["merchant_id"]
        if not is_party(merchant_id):
            raise Rejected(Fault.NO_SUCH_MERCHANT, "No payment can be of a merchant of this id.")
        match request.method:
            case "PUT":
                return told(await self._set(request, merchant_id))
            case "DELETE":
                return told(await self._unset(request, merchant_id))
            case _:
                return shown(request, self._answer(merchant_id, self._configuration.loaded()))

    async def _set(self, request: Request, merchant_id: str) -> RetryPolicyAnswer:
        version = headers.if_match(request)
        body = await json_body(request, _POLICY, self._limits)
        if body.merchant_id not in (None, merchant_id):
            raise invalid(FieldError(pointer="/merchant_id", detail="is not that of the path"))
        policy = _policy(body, self._registry.retry_policy(merchant_id))
        return await self._have(request, merchant_id, policy, body.by, body.note, version)

    async def _unset(self, request: Request, merchant_id: str) -> RetryPolicyAnswer:
        version = headers.if_match(request)
        body = await optional_json_body(request, _REASON, self._limits, ReasonBody())
        return await self._have(request, merchant_id, None, body.by, body.note, version)

    async def _have(
        self,
        request: Request,
        merchant_id: str,
        policy: MerchantRetryPolicy | None,
        by: str,
        note: str,
        version: int,
    ) -> RetryPolicyAnswer:
        command = SetRetryPolicy(
            merchant_id=merchant_id,
            policy=policy,
            by=signed(request, by),
            note=note,
            instead_of_version=version,
        )
        if faults := faults_in(command):
            raise invalid(*faults)
        return self._answer(merchant_id, await self._configuration.set(command, request.state.request_id))

    def _answer(self, merchant_id: str, configured: Configured) -> RetryPolicyAnswer:
        default = self._registry.retry_policy(merchant_id)
        return retry_policy_answer(merchant_id, default, self._drained_budget_ms, configured)


def _policy(body: RetryPolicyBody, default: RetryPolicy) -> MerchantRetryPolicy:
    given = {name: getattr(body, name) for name in RetryPolicy.__struct_fields__}
    return MerchantRetryPolicy(
        **{**asdict(default), **{name: value for name, value in given.items() if value is not UNSET}}
    )
