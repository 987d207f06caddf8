"""Whether an agent's skill can do a task: one answer for planning, validation and routing."""

from __future__ import annotations

from collections.abc import Iterable

from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard, Skill


def shortfall(task: Task, skill: Skill, *, has_model: bool = True) -> str:
    """Why the skill cannot do the task, in words; empty when it can.

    A skill of another name qualifies when it makes the same data, or when it answers anything of
    this very task type. Only what the task requires is handed over, so a skill that needs more
    cannot be asked.
    """
    if skill.task_types and task.task_type not in skill.task_types:
        return f"{skill.id!r} serves {', '.join(skill.task_types)}, not {task.task_type}"
    lacking = [name for name in task.produces if name not in skill.produces]
    if skill.produces and lacking:
        return f"{skill.id!r} does not produce {lacking[0]!r}"
    if task.operation and skill.id != task.operation:
        makes_the_same = bool(task.produces) and bool(skill.produces)
        answers_the_type = not skill.produces and task.task_type in skill.task_types
        if not makes_the_same and not answers_the_type:
            return f"{skill.id!r} is not {task.operation!r}"
    missing = [name for name in skill.requires if name not in task.requires]
    if missing:
        return f"{skill.id!r} needs {missing[0]!r}, which the task is not given"
    if skill.needs_model and not has_model:
        return f"{skill.id!r} needs a chat model and none is set (set GENESIS_MODEL=provider:name)"
    return ""


def best_skill(task: Task, card: AgentCard, *, has_model: bool = True) -> tuple[Skill | None, str]:
    """The agent's skill for the task, or None and why it has none.

    Of several that can, the one that bears the operation's name wins, then the one that makes
    the fewest other things.
    """
    reasons: dict[str, str] = {}
    fitting: list[Skill] = []
    for skill in card.skills:
        reasons[skill.id] = shortfall(task, skill, has_model=has_model)
        if not reasons[skill.id]:
            fitting.append(skill)
    if fitting:
        return min(fitting, key=lambda s: (s.id != task.operation, len(s.produces) or 99)), ""
    if task.operation in reasons:
        return None, reasons[task.operation]
    if len(reasons) == 1:
        return None, next(iter(reasons.values()))
    offered = ", ".join(reasons) or "nothing"
    return None, f"it offers {offered}, none of which can do {wanted(task)}"


def wanted(task: Task) -> str:
    """What the task asks for, in words: its operation, and what it must produce."""
    operation = f"{task.operation!r}" if task.operation else f"a {task.task_type} task"
    return f"{operation} (making {', '.join(task.produces)})" if task.produces else operation


def skills_for(
    task: Task, cards: Iterable[AgentCard], *, has_model: bool = True
) -> list[tuple[AgentCard, Skill]]:
    """Every agent that can do the task, with the skill that it would use."""
    found: list[tuple[AgentCard, Skill]] = []
    for card in cards:
        skill, _ = best_skill(task, card, has_model=has_model)
        if skill is not None:
            found.append((card, skill))
    return found
