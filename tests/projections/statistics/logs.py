"""Logged payments to try off-policy estimates on: worlds of which everything is known."""

from typing import NamedTuple

import numpy as np

from projections.statistics.off_policy import Logged
from projections.statistics.sums import Floats


class KnownWorld(NamedTuple):
    logged: Logged
    value: float
    """Of the judged policy, in expectation, given the payments that came."""
    uplift: float


def a_world(
    seed: int,
    payments: int = 2_000,
    gateways: int = 3,
    *,
    customers: int | None = None,
    least: float = 0.05,
    model: str = "good",
) -> KnownWorld:
    """Customers, where fewer than payments, have rates of their own; policies depend on the payment."""
    chance = np.random.default_rng(seed)
    who = np.arange(payments) if customers is None else chance.integers(0, customers, payments)
    _, who = np.unique(who, return_inverse=True)
    mood = chance.normal(0, 0.1, who.max() + 1)[who] if customers is not None else np.zeros(payments)
    base = np.array([0.9, 0.8, 0.7, 0.6, 0.5])[:gateways]
    rates = np.clip(base + mood[:, None] + chance.normal(0, 0.03, (payments, gateways)), 0.02, 0.98)
    propensities = _policies(chance, payments, gateways, least)
    target = _policies(chance, payments, gateways, 0.0)
    chosen = (propensities.cumsum(axis=1) < chance.random((payments, 1))).sum(axis=1).clip(0, gateways - 1)
    reward = (chance.random(payments) < rates[np.arange(payments), chosen]).astype(np.float64)
    predicted = {
        "good": np.broadcast_to(base, rates.shape),
        "bad": np.broadcast_to(base[::-1], rates.shape),
        "none": np.zeros_like(rates),
    }[model]
    return KnownWorld(
        logged=Logged(
            customers=who,
            chosen=chosen,
            propensities=propensities,
            target=target,
            predicted=np.array(predicted),
            unrecorded=np.zeros(payments),
            reward=reward,
            otherwise=reward,
        ),
        value=float((target * rates).sum(axis=1).mean()),
        uplift=float(((target - propensities) * rates).sum(axis=1).mean()),
    )


def _policies(chance: np.random.Generator, payments: int, gateways: int, least: float) -> Floats:
    drawn: Floats = chance.dirichlet(np.ones(gateways), payments)
    return least + (1 - gateways * least) * drawn
