"""Whether the routing rules fit the agents that are registered."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import combinations

from genesis.agents.findings import DeclaredTask, RegistryFinding
from genesis.routing.conditions import Facts, known, may_meet
from genesis.routing.distinct import distinct
from genesis.routing.effects import Effect, Rule
from genesis.routing.rules import RuleBook
from genesis.routing.team import Separation, Team
from genesis.tasks.capability import skills_for
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard

_CORRECT = "correct the name in routing_rules.yaml, or register the agent"


def check_rules(
    rules: RuleBook,
    tasks: Sequence[DeclaredTask],
    cards: Sequence[AgentCard],
    given: Collection[str],
) -> Iterator[RegistryFinding]:
    """Targets that are not there or cannot do it, conditions that cannot hold, quarrels.

    Args:
        given: data that requests are known to come with.
    """
    names = {card.name for card in cards}
    known_names = _known_names(tasks, cards, given)
    yield from _nobody_left(rules, tasks, cards)
    for rule, effect in rules.missing_targets(cards):
        yield RegistryFinding(
            "warning" if effect.action == "forbid" else "error",
            "rule",
            rule.name,
            f"line {rule.line_of(f'then.{effect.action}')}: no agent is registered that is "
            f"{effect.target}; registered: {', '.join(sorted(names)) or 'none'}",
            _CORRECT,
        )
    for rule in rules.rules:
        yield from _never_now(rule, names)
        yield from _misnamed(rule, known_names)
        yield from _unable(rule, tasks, cards)
    for first, second in combinations(rules.rules, 2):
        if first.priority == second.priority and may_meet(first.when, second.when):
            yield from _quarrels(first, second, cards)


def _known_names(
    tasks: Sequence[DeclaredTask], cards: Sequence[AgentCard], given: Collection[str]
) -> Mapping[str, set[str]]:
    """The names that conditions of a kind can mean."""
    skills = [skill for card in cards for skill in card.skills]
    declared = [task for _, task in tasks]
    made = {name for one in (*skills, *declared) for name in one.produces}
    needed = {name for one in (*skills, *declared) for name in one.requires}
    return {
        "operation": {skill.id for skill in skills} | {task.operation for task in declared},
        "produces": made,
        "requires": made | needed | set(given),
        "given": needed | set(given),
        "inputs": needed | set(given),
    }


def _misnamed(rule: Rule, known_names: Mapping[str, set[str]]) -> Iterator[RegistryFinding]:
    """Conditions on operations and data of which nobody knows."""
    conditions = [*rule.when.of_task, *rule.when.of_moment]
    conditions += [("inputs", frozenset({wanted.name})) for wanted in rule.when.inputs]
    for key, wanted in conditions:
        for name in sorted(wanted - known_names.get(key, wanted)):
            near = get_close_matches(name, known_names[key], n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            yield RegistryFinding(
                "warning",
                "rule",
                rule.name,
                f"line {rule.line_of(f'when.{key}')}: no agent, declared plan or kind of request "
                f"knows the name {name!r} under {key}{meant}",
                "correct the name in routing_rules.yaml, unless requests bring it by `context`",
            )


def _nobody_left(
    rules: RuleBook, tasks: Sequence[DeclaredTask], cards: Sequence[AgentCard]
) -> Iterator[RegistryFinding]:
    """Tasks that rules keep from everybody who can do them, whatever the request says."""
    always = rules.now(Facts(healthy=frozenset(card.name for card in cards)))
    for plan, task in tasks:
        effects = always.effects(task)
        able = [card for card, _ in skills_for(task, cards)]
        barred = [ruled["forbid"] for card in able if "forbid" in (ruled := effects.on(card))]
        # Whom a rule requires and nobody is, is told by itself.
        real = all(any(effect.target.means(card) for card in cards) for effect in barred)
        if able and real and len(barred) == len(able):
            names = ", ".join(dict.fromkeys(repr(effect.rule) for effect in barred))
            yield RegistryFinding(
                "error",
                "operation",
                task.operation or task.id,
                f"nobody is left for a {task.task_type} task of the plan {plan!r}: the rules "
                f"{names} keep it from {', '.join(card.name for card in able)}",
                "let one of them do it, or register another agent for it",
            )


def _never_now(rule: Rule, names: set[str]) -> Iterator[RegistryFinding]:
    """A rule that waits for agents that are not there."""
    waits = [
        (key, sorted(agents))
        for key, agents in rule.when.of_moment
        if key in ("agent_healthy", "agent_unhealthy") and agents.isdisjoint(names)
    ]
    waits += [
        ("load", [agent]) for agent, span in rule.when.load if agent not in names and 0 not in span
    ]
    for key, agents in waits:
        yield RegistryFinding(
            "error",
            "rule",
            rule.name,
            f"line {rule.line_of(f'when.{key}')}: it can never hold: no agent is registered as "
            f"{' or '.join(agents)}",
            _CORRECT,
        )


def _unable(
    rule: Rule, tasks: Sequence[DeclaredTask], cards: Sequence[AgentCard]
) -> Iterator[RegistryFinding]:
    """A rule about certain tasks that favours agents who can do none of them."""
    meant = [t.task for t in tasks if rule.when.holds_for(known(t.task), t.task.description)]
    if not rule.when.of_task or not meant:
        return
    for effect in rule.effects:
        favoured = [card for card in cards if effect.target.means(card)]
        if effect.action == "forbid" or not favoured:
            continue
        if not any(skills_for(task, favoured) for task in meant):
            operations = ", ".join(dict.fromkeys(task.operation or task.id for task in meant))
            yield RegistryFinding(
                "warning",
                "rule",
                rule.name,
                f"line {rule.line_of(f'then.{effect.action}')}: {effect.target} can do none of "
                f"the declared tasks that it is about ({operations})",
                "name an agent that can, or narrow the rule to what this one does",
            )


def _quarrels(first: Rule, second: Rule, cards: Sequence[AgentCard]) -> Iterator[RegistryFinding]:
    """Rules of one priority that turn out to disagree once it is known who offers what."""
    for one in first.effects:
        for other in second.effects:
            about = _disagreement(one, other, cards)
            if about:
                yield RegistryFinding(
                    "warning",
                    "rule",
                    second.name,
                    f"line {second.line_of(f'then.{other.action}')}: {other} disagrees with {one} "
                    f"of rule {first.name!r} (line {first.line}) about {', '.join(about)}; both "
                    f"have priority {first.priority}, so the first in the file counts",
                    "give one of them a higher priority",
                )


def _disagreement(one: Effect, other: Effect, cards: Sequence[AgentCard]) -> list[str]:
    if (one.action == "forbid") == (other.action == "forbid"):
        return []
    return [c.name for c in cards if one.target.means(c) and other.target.means(c)]


def check_team(
    rules: RuleBook, tasks: Sequence[DeclaredTask], cards: Sequence[AgentCard]
) -> Iterator[RegistryFinding]:
    """Whether there are agents enough for tasks that must be done by different ones."""
    team, names = rules.team, {card.name for card in cards}
    for agent in (agent for agents in team.persons for agent in agents):
        if agent not in names:
            message = "it is listed under `persons` and no such agent is registered"
            yield RegistryFinding("warning", "team", agent, message, _CORRECT)
    for separation in team.separations:
        yield from _separation(separation, team, tasks, cards)


def _separation(
    separation: Separation, team: Team, tasks: Sequence[DeclaredTask], cards: Sequence[AgentCard]
) -> Iterator[RegistryFinding]:
    groups = [_tasks_of(group, tasks, cards) for group in separation.groups]
    for names, found in zip(separation.groups, groups, strict=True):
        if not found:
            yield RegistryFinding(
                "warning",
                "team",
                separation.name,
                f"line {separation.line}: no declared plan and no agent knows "
                f"{' or '.join(sorted(names))}, so there is nothing to keep apart",
                "correct the name in routing_rules.yaml",
            )
    for first, second in combinations(groups, 2):
        for one in first:
            for other in second:
                yield from _too_few(separation, one, other, team, cards)


def _too_few(
    separation: Separation, one: Task, other: Task, team: Team, cards: Sequence[AgentCard]
) -> Iterator[RegistryFinding]:
    able = {
        place: list(dict.fromkeys(team.person(card.name) for card, _ in skills_for(task, cards)))
        for place, task in (("first", one), ("second", other))
    }
    if all(able.values()) and not distinct(able, {"first": {"second"}, "second": {"first"}}):
        yield RegistryFinding(
            "error",
            "team",
            separation.name,
            f"line {separation.line}: {one.operation or one.id} and "
            f"{other.operation or other.id} must be done by different agents and only "
            f"{able['first'][0]!r} can do either",
            "register another agent for one of them",
        )


def _tasks_of(
    group: frozenset[str], tasks: Sequence[DeclaredTask], cards: Sequence[AgentCard]
) -> list[Task]:
    """What a group's names mean: tasks of declared plans, and tasks that agents' skills serve."""
    declared = [task for _, task in tasks if group & {task.operation, task.task_type}]
    served = [
        Task(skill.id, "", task_type, skill.id, skill.requires, skill.produces)
        for card in cards
        for skill in card.skills
        for task_type in (skill.task_types or ("general",))
        if group & {skill.id, task_type}
    ]
    alike = {(t.operation, t.task_type, t.requires, t.produces): t for t in (*declared, *served)}
    return list(alike.values())
