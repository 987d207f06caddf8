"""Runs a task's acceptance checks: only a check that says so makes an answer a success."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from genesis.execution.answer import plain
from genesis.tasks.checks import Check, Submission
from genesis.tasks.task import Acceptance, Verdict
from infrastructure.redaction import hide_secrets

_MAX_SAID = 2_000


async def verify(
    submission: Submission,
    acceptances: Sequence[Acceptance],
    checks: Mapping[str, Check],
    timeout_s: float,
) -> Verdict:
    """The first verdict that does not pass, or one that joins those that do.

    Args:
        submission: what was handed in; its `params` are replaced by each acceptance's.
        acceptances: the checks to run, at least one.
        checks: by name.
        timeout_s: seconds that one check may take.
    """
    passed: list[Verdict] = []
    for acceptance in acceptances:
        check = checks.get(acceptance.check)
        if check is None:
            return Verdict(False, acceptance.check, "no check of this name is registered")
        asked = replace(submission, params=acceptance.params)
        verdict = await _run(check, acceptance.check, asked, timeout_s)
        if not verdict.passed:
            return verdict
        passed.append(verdict)
    if not passed:
        return Verdict(False, "", "the task has no acceptance check, so nothing can prove it done")
    names = ", ".join(verdict.check for verdict in passed)
    return Verdict(True, names, "; ".join(verdict.reason for verdict in passed))


async def _run(check: Check, name: str, submission: Submission, timeout_s: float) -> Verdict:
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            verdict = cast("object", await check(submission))
    except TimeoutError:
        if limit.expired():
            return Verdict(False, name, f"the check did not end within {timeout_s:g} s")
        return Verdict(False, name, "the check itself failed: TimeoutError")
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        return Verdict(False, name, "the check itself failed: it cancelled its own work")
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever breaks a check, it has proved nothing
        said = plain(hide_secrets(f"{type(error).__name__}: {error}"), _MAX_SAID)
        return Verdict(False, name, f"the check itself failed: {said}")
    if not isinstance(verdict, Verdict):
        return Verdict(False, name, f"the check answered {type(verdict).__name__}, not a Verdict")
    return verdict
