"""Money: reserved before a call, settled after it, shared by everything that one run starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from infrastructure.errors import BudgetExceeded, InputError

# Prices are sums of floats: three reservations of 0.1 must fit into a budget of 0.3.
_ROUNDING_USD = 1e-9


@dataclass(frozen=True, slots=True)
class BudgetStatistics:
    """A budget at one moment, US dollars; `limit_usd` and `left_usd` are None without a limit."""

    limit_usd: float | None
    spent_usd: float
    reserved_usd: float
    left_usd: float | None


class Reservation:
    """Money set aside for one call; settle it or release it exactly once."""

    __slots__ = ("_open", "budget", "usd")

    def __init__(self, budget: Budget, usd: float) -> None:
        self.budget = budget
        self.usd = usd
        self._open = True

    def close(self) -> None:
        """Mark it used.

        Raises:
            ValueError: it was settled or released before.
        """
        if not self._open:
            raise ValueError("this reservation was already settled or released")
        self._open = False


class Budget:
    """An amount of money that may be spent, and what was spent of it.

    All bookkeeping is synchronous, so tasks of one event loop cannot overdraw it between a look
    and a reservation.

    Args:
        limit_usd: US dollars; None sets no limit.

    Raises:
        InputError: the limit is negative or not a finite number.
    """

    def __init__(self, limit_usd: float | None = None) -> None:
        if limit_usd is not None:
            _require_amount(limit_usd, "a budget")
        self._limit = limit_usd
        self._spent = 0.0
        self._reserved = 0.0
        self._parent: Budget | None = None

    def child(self, limit_usd: float | None = None) -> Budget:
        """A part of this budget: whatever it spends is spent here too.

        Args:
            limit_usd: a limit of its own, below what is left here; None sets no other limit.
        """
        part = Budget(limit_usd)
        part._parent = self
        return part

    def reserve(self, usd: float) -> Reservation:
        """Set money aside before a call.

        Raises:
            BudgetExceeded: it does not fit into what is left here or in a parent.
            InputError: the amount is negative or not a finite number.
        """
        _require_amount(usd, "a reservation")
        chain = self._chain()
        for budget in chain:
            budget._require_room(usd)
        for budget in chain:
            budget._reserved += usd
        return Reservation(self, usd)

    def settle(self, reservation: Reservation, actual_usd: float) -> None:
        """Replace a reservation by what the call cost.

        The cost may exceed the reservation, even the limit: money that is gone is counted, and
        the next reservation fails.

        Raises:
            InputError: the amount is negative or not a finite number.
            ValueError: the reservation is another budget's, or was closed before.
        """
        _require_amount(actual_usd, "a cost")
        self._close(reservation)
        for budget in self._chain():
            budget._spent += actual_usd

    def release(self, reservation: Reservation) -> None:
        """Give a reservation back: the call was not made.

        Raises:
            ValueError: the reservation is another budget's, or was closed before.
        """
        self._close(reservation)

    def charge(self, usd: float) -> None:
        """Count money that was spent before, such as by an earlier process.

        Raises:
            InputError: the amount is negative or not a finite number.
        """
        self.settle(self.reserve(0.0), usd)

    @property
    def outermost(self) -> Budget:
        """The budget that this is a part of, through all levels; itself if it is none."""
        return self._chain()[-1]

    @property
    def statistics(self) -> BudgetStatistics:
        """What was spent and is left, limits of the parents included."""
        left = [room for budget in self._chain() if (room := budget._room()) is not None]
        return BudgetStatistics(
            self._limit, self._spent, self._reserved, max(0.0, min(left)) if left else None
        )

    def _chain(self) -> list[Budget]:
        chain: list[Budget] = [self]
        while (parent := chain[-1]._parent) is not None:
            chain.append(parent)
        return chain

    def _room(self) -> float | None:
        return None if self._limit is None else self._limit - self._spent - self._reserved

    def _require_room(self, usd: float) -> None:
        room = self._room()
        # A call that costs nothing may go on even when the money is gone.
        if room is None or usd == 0.0 or usd <= room + _ROUNDING_USD:
            return
        raise BudgetExceeded(
            f"the next call is expected to cost ${usd:.6g}, but of the budget of "
            f"${self._limit:.6g} ${self._spent:.6g} is spent and ${self._reserved:.6g} reserved; "
            "raise the budget to go on"
        )

    def _close(self, reservation: Reservation) -> None:
        if reservation.budget is not self:
            raise ValueError("this reservation was made in another budget")
        reservation.close()
        for budget in self._chain():
            budget._reserved -= reservation.usd
            if abs(budget._reserved) < _ROUNDING_USD:
                budget._reserved = 0.0


def _require_amount(usd: float, what: str) -> None:
    if not math.isfinite(usd) or usd < 0:
        raise InputError(f"{what} must be a finite number of US dollars, 0 or more, not {usd!r}")
