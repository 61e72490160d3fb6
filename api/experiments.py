"""`/experiments`: who tries which routing on whom, started and led by operators, and shown to everybody or, where
merchants have keys, to operators who may read.

No If-Match and no Idempotency-Key: the log judges whether an event follows from what stands there, and of one name
there is one experiment at most that has not ended. So whatever is asked for twice is done once.
"""

from itertools import islice
from typing import TypeVar, cast, get_args

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import headers, paging
from api.admin import Admin, Endpoint, signed
from api.answers import json_response
from api.body import BodyLimits, invalid, json_body, optional_json_body
from api.errors import Fault, Rejected
from api.experiment_answers import ExperimentsAnswer, experiment_answer
from api.merchant_keys import MerchantKeys
from api.ports import Experiments
from commands.experiment import found
from commands.experiment_faults import faults_in
from commands.experiment_state import Experiment, named, status_of
from commands.ports import Clock, RoutingFacts
from commands.routing.rule_faults import text_faults
from schemas.experiment import (
    Design,
    Guardrails,
    PauseExperiment,
    ResumeExperiment,
    StartExperiment,
    Status,
    StopExperiment,
)
from schemas.experiment_bodies import ExperimentBody, ReasonBody, ResumeBody
from schemas.ids import ExperimentId

R = TypeVar("R", bound=ReasonBody)

_EXPERIMENT = msgspec.json.Decoder(ExperimentBody)
_REASON = msgspec.json.Decoder(ReasonBody)
_RESUME = msgspec.json.Decoder(ResumeBody)


class ExperimentRoutes:
    def __init__(
        self,
        admin: Admin,
        merchant_keys: MerchantKeys,
        experiments: Experiments,
        facts: RoutingFacts,
        guardrails: Guardrails,
        clock: Clock,
        limits: BodyLimits,
    ) -> None:
        self._admin = admin
        self._merchant_keys = merchant_keys
        self._experiments = experiments
        self._facts = facts
        self._guardrails = guardrails
        self._clock = clock
        self._limits = limits

    def routes(self) -> list[Route]:
        one, only = "/experiments/{experiment_id}", self._admin.only
        return [
            Route("/experiments", self._page_or_start(), methods=["GET", "POST"]),
            Route(one, self.show, methods=["GET"]),
            Route(f"{one}/stop", only(self.stop, "experiments"), methods=["POST"]),
            Route(f"{one}/pause", only(self.pause, "experiments"), methods=["POST"]),
            Route(f"{one}/resume", only(self.resume, "experiments"), methods=["POST"]),
        ]

    def _page_or_start(self) -> Endpoint:
        """One route for both, so that a 405 names both."""
        start = self._admin.only(self.start, "experiments")

        async def page_or_start(request: Request) -> Response:
            return await (start if request.method == "POST" else self.page)(request)

        return page_or_start

    async def page(self, request: Request) -> Response:
        self._merchant_keys.admit_onlooker(request)
        status, limit = _status(request), paging.limit(request)
        newest_first = list(reversed(self._experiments.loaded().known.values()))
        after = request.query_params.get("after")
        if after is not None:
            places = [n for n, one in enumerate(newest_first, start=1) if one.experiment_id == after]
            if not places:
                raise Rejected(Fault.MALFORMED_QUERY, "after is the id of an experiment.")
            newest_first = newest_first[places[0] :]
        wanted = (one for one in newest_first if status in (None, status_of(one)))
        page = [experiment_answer(one) for one in islice(wanted, limit + 1)]
        return json_response(
            ExperimentsAnswer(
                experiments=tuple(page[:limit]),
                next=page[limit - 1].experiment_id if len(page) > limit else None,
            )
        )

    async def show(self, request: Request) -> Response:
        self._merchant_keys.admit_onlooker(request)
        experiment = found(self._experiments.loaded(), _id(request))
        answered = _headers(experiment)
        if headers.is_known(request, answered["ETag"]):
            return Response(None, 304, answered)
        return json_response(experiment_answer(experiment), 200, answered)

    async def start(self, request: Request) -> Response:
        """201 for a new one; 200 for the one that the same body has started before."""
        body = await json_body(request, _EXPERIMENT, self._limits)
        command = StartExperiment(
            experiment_id=self._clock.experiment_id(),
            design=_design(body),
            gateways=self._facts.gateways(),
            budgets_ms=tuple(
                self._facts.retry_policy(merchant).latency_budget_ms
                for merchant in body.filter.merchant_ids or ()
            ),
            limits=self._guardrails,
            by=signed(request, body.by),
            note=body.note,
        )
        if faults := faults_in(command):
            raise invalid(*faults)
        experiments = await self._experiments.obey(command, request.state.request_id)
        held = named(experiments, body.name)
        assert held is not None, "it was just started, or found"
        answered = {**_headers(experiments.known[held]), "Location": f"/experiments/{held}"}
        status = 201 if held == command.experiment_id else 200
        return json_response(experiment_answer(experiments.known[held]), status, answered)

    async def stop(self, request: Request) -> Response:
        body = await self._reason(request, _REASON, ReasonBody())
        return await self._led(
            StopExperiment(experiment_id=_id(request), by=body.by, note=body.note), request
        )

    async def pause(self, request: Request) -> Response:
        body = await self._reason(request, _REASON, ReasonBody())
        return await self._led(
            PauseExperiment(experiment_id=_id(request), by=body.by, note=body.note), request
        )

    async def resume(self, request: Request) -> Response:
        body = await self._reason(request, _RESUME, ResumeBody())
        return await self._led(
            ResumeExperiment(experiment_id=_id(request), by=body.by, note=body.note, scale=body.scale),
            request,
        )

    async def _reason(self, request: Request, decoder: msgspec.json.Decoder[R], otherwise: R) -> R:
        body = await optional_json_body(request, decoder, self._limits, otherwise)
        if faults := [*text_faults("/by", body.by), *text_faults("/note", body.note)]:
            raise invalid(*faults)
        return body

    async def _led(
        self, command: StopExperiment | PauseExperiment | ResumeExperiment, request: Request
    ) -> Response:
        command = replace(command, by=signed(request, command.by))
        experiments = await self._experiments.obey(command, request.state.request_id)
        experiment = experiments.known[command.experiment_id]
        return json_response(experiment_answer(experiment), 200, _headers(experiment))


def _design(body: ExperimentBody) -> Design:
    return Design(**{field: getattr(body, field) for field in Design.__struct_fields__})


def _id(request: Request) -> ExperimentId:
    return ExperimentId(request.path_params["experiment_id"])


def _status(request: Request) -> Status | None:
    given = request.query_params.get("status")
    if given is not None and given not in get_args(Status):
        raise Rejected(Fault.MALFORMED_QUERY, f"status is one of {', '.join(get_args(Status))}.")
    return cast("Status | None", given)


def _headers(experiment: Experiment) -> dict[str, str]:
    return {"ETag": f'"{experiment.version}"'}
