"""Two Bernoulli CUSUMs that tell a broken gateway from bad luck, relative to what is normal for it.

A failure adds `weight - 1`, a success takes one away, never below zero; at the threshold it is an alarm. That is Page's
cumulative sum (Biometrika 41, 1954) of the log-likelihood ratio of two success rates, scaled to integers (Reynolds and
Stoumbos, Journal of Quality Technology 31, 1999). The fast one sees outages in a few calls, the slow one smaller drops.
"""

from typing import NamedTuple


class Chart(NamedTuple):
    weight: int
    threshold: int


class Charts(NamedTuple):
    fast: Chart
    slow: Chart

    def counted(self, fast: int, slow: int, is_failure: bool) -> tuple[int, int]:
        """The two statistics after one more call."""
        if is_failure:
            return fast + self.fast[0] - 1, slow + self.slow[0] - 1
        return fast - 1 if fast else 0, slow - 1 if slow else 0

    def rescaled(self, fast: int, slow: int, to: "Charts") -> tuple[int, int]:
        """As far from the alarm on other charts as they are on these, or a change of baseline could raise one."""
        if to is self:
            return fast, slow
        return (
            fast * to.fast.threshold // self.fast.threshold,
            slow * to.slow.threshold // self.slow.threshold,
        )

    def is_suspicious(self, fast: int, slow: int) -> bool:
        """Half way to an alarm: what is seen now had better not be taken for normal."""
        return 2 * fast >= self.fast[1] or 2 * slow >= self.slow[1]


# Each runs for 2 million calls of its baseline, on average, until a false alarm, and both together for 1.25 million; of
# those that do, the fastest. tests/commands/markov.py computes it. Beside each row: mean calls until the first alarm
# at a success rate of .80, .70, .50, .30 and .05.
CHARTS: dict[int, Charts] = {
    80: Charts(Chart(2, 10), Chart(4, 79)),  # 1275485 361 68 23 11
    81: Charts(Chart(3, 26), Chart(4, 67)),  # 351649 298 49 24 14
    82: Charts(Chart(3, 25), Chart(4, 57)),  # 112115 250 47 23 14
    83: Charts(Chart(3, 23), Chart(4, 50)),  # 43132 216 43 21 13
    84: Charts(Chart(3, 22), Chart(5, 100)),  # 2563 189 41 20 12
    85: Charts(Chart(3, 20), Chart(5, 83)),  # 1772 156 37 18 11
    86: Charts(Chart(3, 19), Chart(5, 69)),  # 1236 130 35 17 11
    87: Charts(Chart(3, 18), Chart(5, 59)),  # 911 111 33 16 10
    88: Charts(Chart(3, 17), Chart(6, 89)),  # 388 106 31 15 10
    89: Charts(Chart(3, 16), Chart(6, 74)),  # 313 88 29 14 9
    90: Charts(Chart(3, 15), Chart(6, 63)),  # 259 75 26 14 8
    91: Charts(Chart(3, 14), Chart(7, 80)),  # 184 70 25 13 8
    92: Charts(Chart(3, 13), Chart(7, 67)),  # 152 59 22 12 7
    93: Charts(Chart(3, 12), Chart(8, 78)),  # 123 53 21 11 7
    94: Charts(Chart(4, 18), Chart(9, 84)),  # 100 45 18 10 7
    95: Charts(Chart(4, 17), Chart(10, 84)),  # 81 40 16 10 6
    96: Charts(Chart(4, 15), Chart(11, 81)),  # 65 33 14 9 5
    97: Charts(Chart(4, 13), Chart(13, 87)),  # 53 28 13 8 5
    98: Charts(Chart(5, 16), Chart(15, 80)),  # 39 22 11 7 4
    99: Charts(Chart(9, 28), Chart(20, 84)),  # 28 16 8 6 4
}
"""By baseline in percent."""
