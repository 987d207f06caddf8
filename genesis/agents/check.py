"""Whether agents, declared plans and routing rules fit together, before any request is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

from genesis.agents.check_rules import check_rules, check_team
from genesis.agents.findings import DeclaredTask, RegistryFinding
from genesis.agents.registry import AgentRegistry
from genesis.planning.template import Template, TemplateBook
from genesis.routing.rules import RuleBook
from genesis.tasks.capability import best_skill, skills_for
from infrastructure.a2a.agent import AgentCard, Skill

Offer: TypeAlias = "tuple[AgentCard, Skill]"
_SHOWN_AGENTS = 4
_SET_A_MODEL = "set GENESIS_MODEL=provider:name"
_ANY_TYPE = "general"


@dataclass(frozen=True, slots=True)
class RegistryReport:
    """What was looked at and found.

    Attributes:
        agents: the names of the registered agents.
        findings: errors first.
    """

    agents: tuple[str, ...]
    findings: tuple[RegistryFinding, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing but warnings was found."""
        return not any(finding.severity == "error" for finding in self.findings)


async def check_agents(
    registry: AgentRegistry, rules: RuleBook, book: TemplateBook, *, has_model: bool
) -> RegistryReport:
    """`check_registry`, after the cards of the agents elsewhere were read."""
    return check_registry(
        registry, rules, book, has_model=has_model, unreachable=await registry.connect()
    )


def check_registry(
    registry: AgentRegistry,
    rules: RuleBook,
    book: TemplateBook,
    *,
    has_model: bool,
    unreachable: Mapping[str, str] | None = None,
) -> RegistryReport:
    """Look for whatever would stop or weaken requests.

    An error means that some plan or rule cannot work; a warning that something works less well
    than it could, or is proved less.

    Args:
        registry: the agents and the acceptance checks.
        rules: the declared rules; what is wrong with them alone was refused when they were read.
        book: the declared plans.
        has_model: whether any chat model is set.
        unreachable: why the agent at a URL could not be asked.
    """
    cards = registry.cards
    tasks = list(declared_tasks(book))
    findings = [
        *(_unreachable(url, problem) for url, problem in (unreachable or {}).items()),
        *_nobody(tasks, cards, has_model),
        *_unknown_checks(book, registry),
        *check_rules(rules, tasks, cards, book.given),
        *check_team(rules, tasks, cards),
        *_differing_skills(cards),
        *_unverified(tasks, cards, registry),
        *_unobtainable(tasks, cards, book),
    ]
    ordered = sorted(dict.fromkeys(findings), key=lambda finding: finding.severity != "error")
    return RegistryReport(tuple(card.name for card in cards), tuple(ordered))


def declared_tasks(book: TemplateBook) -> Iterator[DeclaredTask]:
    """Each task of each declared plan, with and without its optional data, for each task type."""
    for template in book.templates:
        for step in template.steps:
            needed = (*step.config.requires,)
            for task_type in _types(template, step.config.task_type):
                yield DeclaredTask(template.name, step.task(task_type, needed))
                if step.config.optional:
                    whole = (*needed, *step.config.optional)
                    yield DeclaredTask(template.name, step.task(task_type, whole))


def _types(template: Template, own: str) -> Sequence[str]:
    return (own,) if own else sorted(template.task_types) or (_ANY_TYPE,)


def _unreachable(url: str, problem: str) -> RegistryFinding:
    remedy = "start it, or correct or remove its URL"
    return RegistryFinding("error", "agent", url, f"its card cannot be read: {problem}", remedy)


def _nobody(
    tasks: Iterable[DeclaredTask], cards: Sequence[AgentCard], has_model: bool
) -> Iterator[RegistryFinding]:
    for plan, task in tasks:
        if not skills_for(task, cards):
            reasons = [f"{card.name}: {best_skill(task, card)[1]}" for card in cards]
            near = [r for r in reasons if repr(task.operation) in r] or reasons
            why = "; ".join(near[:_SHOWN_AGENTS]) or "no agent is registered"
            yield RegistryFinding(
                "error",
                "operation",
                task.operation or task.id,
                f"no agent can do it for a {task.task_type} task of the plan {plan!r}: {why}",
                "register an agent with this skill, or take the task out of plan_templates.yaml",
            )
        elif not has_model and not skills_for(task, cards, has_model=False):
            yield RegistryFinding(
                "warning",
                "operation",
                task.operation or task.id,
                f"the plan {plan!r} needs a chat model for it and none is set",
                _SET_A_MODEL,
            )


def _unknown_checks(book: TemplateBook, registry: AgentRegistry) -> Iterator[RegistryFinding]:
    for template in book.templates:
        for step in template.steps:
            for acceptance in step.config.acceptance:
                if acceptance.check not in registry.checks:
                    known = ", ".join(sorted(registry.checks))
                    yield RegistryFinding(
                        "error",
                        "check",
                        acceptance.check,
                        f"the plan {template.name!r} names it for task {step.config.id!r} and no "
                        f"such acceptance check is registered; registered: {known}",
                        "register it with an agent (checks=), or correct plan_templates.yaml",
                    )


def _differing_skills(cards: Sequence[AgentCard]) -> Iterator[RegistryFinding]:
    by_id: dict[str, list[Offer]] = {}
    for card in cards:
        for skill in card.skills:
            by_id.setdefault(skill.id, []).append((card, skill))
    for skill_id, offers in by_id.items():
        for (card, skill), (other_card, other) in combinations(offers, 2):
            same_types = not skill.task_types or not other.task_types
            if not same_types and set(skill.task_types).isdisjoint(other.task_types):
                continue  # they serve different kinds of task: that is the reason
            if _data(skill) != _data(other):
                yield RegistryFinding(
                    "warning",
                    "skill",
                    skill_id,
                    f"{card.name} {_in_words(skill)}, {other_card.name} {_in_words(other)}: "
                    "neither may be able to stand in for the other",
                    "give them the same data, other ids, or task types of their own",
                )


def _data(skill: Skill) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(skill.requires), frozenset(skill.produces)


def _in_words(skill: Skill) -> str:
    return f"makes {_listed(skill.produces)} of {_listed(skill.requires)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing named"


def _unverified(
    tasks: Iterable[DeclaredTask],
    cards: Sequence[AgentCard],
    registry: AgentRegistry,
) -> Iterator[RegistryFinding]:
    asked = [datum for _, task in tasks if not task.acceptance for datum in task.produces]
    own = [datum for card in cards for skill in card.skills for datum in skill.produces]
    for datum in dict.fromkeys((*asked, *own)):
        if datum not in registry.checks_of_data:
            yield RegistryFinding(
                "warning",
                "check",
                datum,
                "it is only checked for being there: no acceptance check proves it right",
                "register a check that recomputes it on another path (checks=, checks_of_data=)",
            )


def _unobtainable(
    tasks: Iterable[DeclaredTask], cards: Sequence[AgentCard], book: TemplateBook
) -> Iterator[RegistryFinding]:
    made = {datum for card in cards for skill in card.skills for datum in skill.produces}
    # A skill that names nothing it makes makes the datum of its own name.
    made |= {skill.id for card in cards for skill in card.skills if not skill.produces}
    made |= {datum for _, task in tasks for datum in task.produces}
    for card in cards:
        for skill in card.skills:
            missing = [name for name in skill.requires if name not in made | set(book.given)]
            if missing:
                yield RegistryFinding(
                    "warning",
                    "skill",
                    f"{card.name}.{skill.id}",
                    f"no agent makes {missing[0]!r} and no request is known to come with it",
                    f"pass it with each request (context={{{missing[0]!r}: ...}}), declare it "
                    "under `given` in plan_templates.yaml, or register an agent that makes it",
                )
