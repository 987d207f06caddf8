"""Leases on runs: one process works on a run at a time, and a later one shuts out the earlier.

A lease has a number, the fence, that grows with every claim. Whatever is written for a run names
the fence that it was claimed under; a process that was taken for dead and still writes is refused
(M. Kleppmann, "How to do distributed locking", 2016: fencing tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.run_journal import LeaseLost, append_lines, last_number
from infrastructure.memory.memori.runs import OPEN_STATES, RUNNING
from infrastructure.memory.memori.sql import marks


@dataclass(frozen=True, slots=True)
class Holder:
    """Who works on a run.

    Attributes:
        owner: its process, as `infrastructure.processes.Process` names it; empty for nobody.
        until: when the lease ends unless it is renewed, seconds since the epoch.
        state: of the run.
        fence: of the lease.
        cancel_reason: why somebody asked for its end; None when nobody did.
    """

    owner: str
    until: float
    state: str
    fence: int
    cancel_reason: str | None

    def works(self, now: float) -> bool:
        """Whether it may still be at work."""
        return bool(self.owner) and self.until > now


def holder(tx: Tx, run_id: str) -> Holder | None:
    """Who works on a run; None for an unknown run."""
    row = tx.execute(
        "SELECT owner, lease_until, state, fence, cancel_reason FROM runs"
        " WHERE tenant = ? AND run_id = ?",
        (tx.tenant, run_id),
    ).fetchone()
    return None if row is None else Holder(*row)


def claim(
    tx: Tx,
    run_id: str,
    owner: str,
    *,
    now: float,
    until: float,
    dead: str = "",
    above: tuple[str, int] | None = None,
) -> Holder | None:
    """Take an open run that nobody works on; None if somebody does, or it is unknown or over.

    Args:
        owner: who takes it.
        now, until: seconds since the epoch.
        dead: an owner that is known to have died, whatever its lease says.
        above: the run that it is a part of, and the fence under which that one is held: who holds
            the whole takes its parts from whoever held it before.

    Raises:
        LeaseLost: the run above was taken by another.
    """
    if above is not None:
        require_held(holder(tx, above[0]), *above)
    found = holder(tx, run_id)
    if found is None or found.state not in OPEN_STATES:
        return None
    if above is None and found.works(now) and found.owner != dead:
        return None
    tx.execute(
        "UPDATE runs SET owner = ?, fence = ?, lease_until = ?, state = ?"
        " WHERE tenant = ? AND run_id = ?",
        (owner, found.fence + 1, until, RUNNING, tx.tenant, run_id),
    )
    return Holder(owner, until, RUNNING, found.fence + 1, found.cancel_reason)


def renew(tx: Tx, run_id: str, fence: int, until: float) -> str | None:
    """Keep a lease until then; returns why the run is to be cancelled, or None.

    Raises:
        LeaseLost: it was taken by another.
    """
    found = require_held(holder(tx, run_id), run_id, fence)
    tx.execute(
        "UPDATE runs SET lease_until = ? WHERE tenant = ? AND run_id = ?",
        (until, tx.tenant, run_id),
    )
    return found.cancel_reason


def release(tx: Tx, run_id: str, fence: int, state: str, *, anyway: bool = False) -> str | None:
    """Let go of a run that is not over: it is free for whoever goes on with it.

    Args:
        state: in which it is left, one of `runs.OPEN_STATES`.
        anyway: also when somebody asked for its end.

    Returns:
        Why somebody asked for its end: it is held as before then, and is to be ended. Or None.

    Raises:
        LeaseLost: it was taken by another.
    """
    found = require_held(holder(tx, run_id), run_id, fence)
    if found.cancel_reason is not None and not anyway:
        return found.cancel_reason
    tx.execute(
        "UPDATE runs SET owner = '', lease_until = 0, state = ? WHERE tenant = ? AND run_id = ?",
        (state, tx.tenant, run_id),
    )
    return None


def request_cancel(tx: Tx, run_id: str, reason: str) -> Holder | None:
    """Ask whoever works on an open run to end it; returns who that is, None for an unknown run."""
    tx.execute(
        "UPDATE runs SET cancel_reason = ?"  # noqa: S608 (marks only)
        f" WHERE tenant = ? AND run_id = ? AND state IN {marks(1, len(OPEN_STATES))}",
        (reason, tx.tenant, run_id, *OPEN_STATES),
    )
    return holder(tx, run_id)


def append_unheld(
    tx: Tx,
    run_id: str,
    line: str,
    events: int,
    *,
    whole: str,
    now: float,
    dead: str = "",
    fence: int | None = None,
    ready: bool = False,
) -> bool:
    """Add an event to the journal of an open run that nobody works on; False if it cannot be.

    Whoever held it before is shut out, so that none of its lines can take this one's place.

    Args:
        line: the event as JSON text.
        events: how many there were when it was decided on; by now there may be more.
        whole: the run that it is a part of, through all levels, or itself: nobody works on that
            one either, and so nobody on any part.
        now: seconds since the epoch.
        dead: an owner that is known to have died, whatever its lease says.
        fence: of the lease under which the caller works on the whole, while the part rests.
        ready: whether the whole waits for nothing any more, so that it can be gone on with.

    Raises:
        LeaseLost: the whole was taken by another.
    """
    above, found = holder(tx, whole), holder(tx, run_id)
    if fence is not None:
        require_held(above, whole, fence)
    elif above is None or (above.works(now) and above.owner != dead):
        return False
    for one in (above, found):
        if one is None or one.state not in OPEN_STATES:
            return False
    if last_number(tx, run_id) != events:
        return False
    for name in (run_id,) if fence is not None else dict.fromkeys((run_id, whole)):
        tx.execute(
            "UPDATE runs SET owner = '', lease_until = 0, fence = fence + 1"
            " WHERE tenant = ? AND run_id = ?",
            (tx.tenant, name),
        )
    if ready and fence is None:
        tx.execute(
            "UPDATE runs SET state = ? WHERE tenant = ? AND run_id = ?",
            (RUNNING, tx.tenant, whole),
        )
    append_lines(tx, run_id, [line], events + 1)
    return True


def require_held(held: Holder | None, run_id: str, fence: int) -> Holder:
    """Refuse a lease that is not this one.

    Raises:
        LeaseLost: it is another.
    """
    if held is None or held.fence != fence:
        raise LeaseLost(f"another process has taken over run {run_id!r}; this one writes no more")
    return held


def left_behind(tx: Tx, now: float, dead: Sequence[str] = (), limit: int = 1000) -> list[str]:
    """Ids of running runs that nobody works on, oldest first; parts of runs left out.

    Args:
        now: seconds since the epoch.
        dead: owners that are known to have died, whatever their leases say.
        limit: at most so many.
    """
    gone = f" OR owner IN {marks(1, len(dead))}" if dead else ""
    rows = tx.execute(
        "SELECT run_id FROM runs WHERE tenant = ? AND state = ?"  # noqa: S608 (marks only)
        f" AND (owner = '' OR lease_until <= ?{gone})"
        " AND NOT EXISTS (SELECT 1 FROM run_sources WHERE run_sources.tenant = runs.tenant"
        " AND run_sources.run_id = runs.run_id AND run_sources.source LIKE 'parent:%')"
        " ORDER BY created_at, run_id LIMIT ?",
        (tx.tenant, RUNNING, now, *dead, limit),
    )
    return [run_id for (run_id,) in rows.fetchall()]


def owners(tx: Tx) -> list[str]:
    """Everybody who holds a run that is running."""
    rows = tx.execute(
        "SELECT DISTINCT owner FROM runs WHERE tenant = ? AND state = ? AND owner <> ''",
        (tx.tenant, RUNNING),
    )
    return [owner for (owner,) in rows.fetchall()]
