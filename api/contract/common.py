"""Parameters, headers and problems that several operations share."""

from typing import Annotated

from msgspec import Meta

from api import paging
from api.contract.operation import Answer, Header, Parameter
from api.errors import Fault
from schemas.errors import Refusal

PAYMENT_ID = Parameter(
    name="payment_id",
    place="path",
    type=Annotated[str, Meta(pattern="^pay_[0-7][0-9a-hjkmnp-tv-z]{25}$")],
    says="The payment's id.",
    required=True,
)
GATEWAY = Parameter(
    name="gateway", place="path", type=str, says="The gateway's id.", required=True, example="razorpay"
)
LIMIT = Parameter(
    name="limit",
    place="query",
    type=Annotated[int, Meta(ge=1, le=paging.LARGEST)],
    says=f"The size of the page; {paging.USUAL} where it is not given.",
    example=2,
)
IF_NONE_MATCH = Parameter(
    name="If-None-Match", place="header", type=str, says="The ETag of what you have: 304 if it is still so."
)
IF_MATCH = Parameter(
    name="If-Match",
    place="header",
    type=Annotated[str, Meta(pattern='^"[0-9]{1,18}"$')],
    says="The ETag of what you have looked at: 412 if it was set again since.",
    required=True,
    example='"0"',
)
PREFER_WAIT = Parameter(
    name="Prefer",
    place="header",
    type=str,
    says="`wait=` whole seconds to wait for what you wrote to be shown, at most 10; other preferences are let be.",
    example="wait=1",
)

ETAG = Header(name="ETag", says="The version of what is shown.")
LOCATION = Header(name="Location", says="Where it can be read.")
PREFERENCE_APPLIED = Header(
    name="Preference-Applied", says="The wait that was granted, if one was asked for.", always=False
)

NOT_CHANGED = Answer(says="It is as you know it.", headers=(ETAG,), media_type=None)

OF_A_STORE = (Refusal.STORE_UNAVAILABLE,)
OF_THE_LOG = (Refusal.LOG_UNAVAILABLE,)
OF_A_VERSION = (Fault.VERSION_MISSING, Fault.MALFORMED_HEADER, Refusal.STALE_VERSION)
OF_SETTING = (*OF_THE_LOG, Refusal.UNCONFIRMED)
