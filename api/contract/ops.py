"""`/ops`, `/metrics` and the contract itself."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

from api.contract.operation import Answer, Operation
from api.lag import LagAnswer
from api.ops import LivenessAnswer
from api.readiness import ReadinessAnswer


def _showing(id: str, path: str, says: str, type: Any, media_type: str = "application/json") -> Operation:
    answer = Answer(says="As of now.", type=type, media_type=media_type)
    return Operation(id=id, method="GET", path=path, tag="ops", says=says, answers={200: answer})


OPERATIONS = (
    _showing("show_liveness", "/ops/liveness", "Whether this process answers.", LivenessAnswer),
    Operation(
        id="show_readiness",
        method="GET",
        path="/ops/readiness",
        tag="ops",
        says="What each dependency last proved, and how long ago.",
        answers={
            200: Answer(says="It can serve.", type=ReadinessAnswer),
            503: Answer(says="It cannot, or is going away.", type=ReadinessAnswer),
        },
    ),
    _showing("show_lag", "/ops/lag", "How far each consumer is behind the log.", LagAnswer),
    _showing("show_metrics", "/metrics", "What is counted, for Prometheus.", str, CONTENT_TYPE_LATEST),
    _showing("show_openapi", "/openapi.json", "This document (OpenAPI 3.1).", dict[str, Any]),
    _showing("show_asyncapi", "/asyncapi.json", "What is on the topics (AsyncAPI 3.0).", dict[str, Any]),
    _showing("show_docs", "/docs", "Both documents, for people.", str, "text/html; charset=utf-8"),
    _showing("show_docs_style", "/docs/style.css", "How that page looks.", str, "text/css; charset=utf-8"),
)
