"""How hard a rebuild may work beside the live projection: the later that one is, the longer it rests."""

from schemas.base import Value

LOOK_EVERY_MS = 500.0


class PacePolicy(Value, frozen=True, kw_only=True):
    calm_ms: float = 700.0
    """A live projection that is no later than this is not disturbed: every such look makes the rests shorter."""
    hold_ms: float = 1_300.0
    """One that is later than this has the machine for itself until it is calm again."""
    least_rest: float = 0.1
    """Time rested for a time worked, always: the machine is others' first."""
    most_rest: float = 4.0
    """A machine that is busy with other things makes the live one late too; something is done all the same."""
    shorter: float = 0.8
    longer: float = 1.5


USUAL = PacePolicy()


class Pace(Value, frozen=True, kw_only=True):
    rest: float = 1.0
    """For each second worked; it begins gently."""
    is_holding: bool = False


def paced(pace: Pace, lag_ms: float, policy: PacePolicy = USUAL) -> Pace:
    """After a look at how late the live projection is."""
    if lag_ms <= policy.calm_ms:
        return Pace(rest=max(policy.least_rest, pace.rest * policy.shorter))
    is_holding = pace.is_holding or lag_ms > policy.hold_ms
    return Pace(rest=min(policy.most_rest, pace.rest * policy.longer), is_holding=is_holding)
