"""A scenario played by a reference policy: many runs at once, one transaction after the other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.bench.reference_breaker import Breakers, Places
from tests.bench.reference_policies import REFERENCES, Policy
from tests.bench.scenarios import Floats, Scenario

Choices = NDArray[np.int16]


class ReferenceWorld:
    def __init__(self, scenario: Scenario, runs: Sequence[int]) -> None:
        self.scenario = scenario
        self.rates: Floats = scenario.rates()
        self.generators = [np.random.default_rng([scenario.seed, run]) for run in runs]
        numbers = np.array([one.random((2, scenario.transactions)) for one in self.generators])
        self._luck, self.draws = numbers[:, 0], numbers[:, 1]

    def play(self, name: str) -> Choices:
        """(runs, transactions): which gateway took each payment. A world is played once."""
        _, begin, breaker = REFERENCES[name]
        runs, transactions = self.draws.shape
        policy = begin(self)
        breakers = (
            Breakers(runs, len(self.rates), breaker, self.scenario.transactions_per_second)
            if breaker is not None
            else None
        )
        everyone = np.ones((runs, len(self.rates)), dtype=bool)
        choices = np.zeros((transactions, runs), dtype=np.int16)
        trials = np.zeros((transactions, runs), dtype=np.int32)
        delay = max(self.scenario.feedback_delay_transactions, 1)
        for number in range(transactions):
            if (known := number - delay) >= 0:
                places = choices[known].astype(np.intp)
                succeeded = self._luck[:, known] < self.rates[places, known]
                policy.learn(places, succeeded)
                if breakers is not None:
                    closed = breakers.observe(number, places, ~succeeded, trials[known])
                    policy.forget(closed, places[closed])
            if breakers is None:
                choices[number] = policy.choose(number, everyone)
            else:
                choices[number] = _choose(policy, breakers, number)
                trials[number] = breakers.sent(choices[number].astype(np.intp))
        return choices.T


def _choose(policy: Policy, breakers: Breakers, number: int) -> Places:
    allowed, due = breakers.allowed(number)
    chosen = policy.choose(number, allowed)
    if not due.any():
        return chosen
    return np.where(due.any(axis=1), due.argmax(axis=1), chosen)
