"""What experiments come to by whole exposures: the sums that an intake arrives at change by change, made at once.

The order of payments makes no difference, and neither does into how many parts they were divided.
"""

from collections import defaultdict
from collections.abc import Iterable

from projections.contributions import changes, of_customers
from schemas.exposure import ArmKey, CustomerKey, Exposure, Figures, Tally


class ExperimentSums:
    def __init__(self) -> None:
        self.customers: dict[CustomerKey, Figures] = {}
        self._payments: dict[ArmKey, Tally] = defaultdict(Tally)
        """Of each arm, what is a sum over payments."""

    def add(self, exposures: Iterable[Exposure]) -> None:
        """Each of them once, with all that is known of it."""
        for exposure in exposures:
            for customer, figures, tally in changes(None, exposure):
                self._add(customer, figures)
                self._payments[customer.arm].update(tally)

    def add_all(self, others: "ExperimentSums") -> None:
        for customer, figures in others.customers.items():
            self._add(customer, figures)
        for arm, tally in others._payments.items():
            self._payments[arm].update(tally)

    @property
    def arms(self) -> dict[ArmKey, Tally]:
        """What is zero is not in them."""
        arms = {arm: tally.copy() for arm, tally in self._payments.items()}
        for customer, figures in self.customers.items():
            arms[customer.arm].update(of_customers(Figures(), figures))
        return {
            arm: Tally({name: count for name, count in tally.items() if count}) for arm, tally in arms.items()
        }

    def _add(self, customer: CustomerKey, more: Figures) -> None:
        self.customers[customer] = self.customers.get(customer, Figures()) + more
