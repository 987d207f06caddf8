"""Money, waiting and success in one figure, so that ways of doing a task can be compared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prices:
    """What an attempt costs all in all, and what a success is worth.

    Attributes:
        usd_per_second: what one second of waiting is worth, US dollars.
        overhead_s: seconds that any attempt takes besides the agent's own: handing over, checking
            the result, starting the next one when it fails. It keeps agents that differ by
            fractions of a second from being ordered by speed alone.
        success_usd: what a verified success is worth, US dollars. An attempt that costs more than
            its chance of success is worth is not made.
    """

    usd_per_second: float = 0.0005
    overhead_s: float = 1.0
    success_usd: float = 100.0

    def of(self, usd: float, seconds: float) -> float:
        """Money plus priced time of one attempt, US dollars; never zero."""
        return max(usd + (seconds + self.overhead_s) * self.usd_per_second, 1e-12)

    def value(self, p_success: float, usd: float, seconds: float) -> float:
        """Expected verified successes for one US dollar.

        Attempts tried in falling order of this value reach the first success at the least
        expected price, when a sound check tells success from failure and their outcomes are
        independent (the classical ordering of sequential tests by price over probability).
        """
        return p_success / self.of(usd, seconds)
