"""`/experiments`."""

from typing import Any

from api.contract.common import (
    ETAG,
    IF_NONE_MATCH,
    LIMIT,
    LOCATION,
    NOT_CHANGED,
    OF_A_STORE,
    OF_SETTING,
    OF_THE_LOG,
)
from api.contract.operation import Answer, Body, Operation, Parameter
from api.errors import Fault
from api.experiment_answers import ExperimentAnswer, ExperimentsAnswer
from projections.experiment_answer import ResultsAnswer, WinnerAnswer
from schemas.errors import Refusal
from schemas.experiment import Status
from schemas.experiment_bodies import ExperimentBody, ReasonBody, ResumeBody

_ID = Parameter(
    name="experiment_id",
    place="path",
    type=str,
    says="The experiment's id.",
    required=True,
)
_ONE = "/experiments/{experiment_id}"
_NOT_KNOWN = (Refusal.EXPERIMENT_NOT_FOUND, *OF_THE_LOG)


def _leading(verb: str, says: str, body: Any) -> Operation:
    return Operation(
        id=f"{verb}_experiment",
        method="POST",
        path=f"{_ONE}/{verb}",
        tag="experiments",
        says=says,
        scope="experiments",
        parameters=(_ID,),
        body=Body(type=body, example={"by": "asha", "note": "the sale begins"}, required=False),
        answers={200: Answer(says="As it stands now.", type=ExperimentAnswer, headers=(ETAG,))},
        problems=(*_NOT_KNOWN, Refusal.EXPERIMENT_CONFLICT, *OF_SETTING),
    )


def _figures(name: str, says: str, type: Any) -> Operation:
    return Operation(
        id=f"show_{name}",
        method="GET",
        path=f"{_ONE}/{name}",
        tag="experiments",
        says=says,
        parameters=(_ID,),
        answers={200: Answer(says="As of now.", type=type)},
        problems=(*_NOT_KNOWN, *OF_A_STORE),
    )


OPERATIONS = (
    Operation(
        id="page_experiments",
        method="GET",
        path="/experiments",
        tag="experiments",
        says="Who tries which routing on whom, the newest first. Where merchants have keys, for operators only.",
        shows_more_to="read",
        parameters=(
            Parameter(name="status", place="query", type=Status, says="Only these.", example="RUNNING"),
            Parameter(name="after", place="query", type=str, says="The `next` of the page before."),
            LIMIT,
        ),
        answers={200: Answer(says="A page.", type=ExperimentsAnswer)},
        problems=(Fault.MALFORMED_QUERY, *OF_THE_LOG),
    ),
    Operation(
        id="start_experiment",
        method="POST",
        path="/experiments",
        tag="experiments",
        says="Start an experiment. The same body again finds the one that it started.",
        scope="experiments",
        body=Body(
            type=ExperimentBody,
            example={
                "name": "razorpay first",
                "variants": [
                    {"name": "control", "weight": 50},
                    {"name": "razorpay-first", "weight": 50, "override": {"order": ["razorpay"]}},
                ],
                "planned_customers": 10_000,
                "planned_days": 14,
                "by": "asha",
            },
        ),
        answers={
            200: Answer(says="It was started before.", type=ExperimentAnswer, headers=(ETAG, LOCATION)),
            201: Answer(says="It runs.", type=ExperimentAnswer, headers=(ETAG, LOCATION)),
        },
        problems=(Refusal.EXPERIMENT_CONFLICT, *OF_SETTING),
    ),
    Operation(
        id="show_experiment",
        method="GET",
        path=_ONE,
        tag="experiments",
        says="An experiment, and where it stands. Where merchants have keys, for operators only.",
        shows_more_to="read",
        parameters=(_ID, IF_NONE_MATCH),
        answers={
            200: Answer(says="As it stands.", type=ExperimentAnswer, headers=(ETAG,)),
            304: NOT_CHANGED,
        },
        problems=_NOT_KNOWN,
    ),
    _leading("stop", "End it for good, without a verdict.", ReasonBody),
    _leading("pause", "Route everybody as outside it for a while.", ReasonBody),
    _leading("resume", "Go on; `scale` multiplies every variant's share of customers.", ResumeBody),
    _figures("results", "What it has come to, each figure with its interval and method.", ResultsAnswer),
    _figures("winner", "The verdict, from a closed list, and its reasons.", WinnerAnswer),
)
