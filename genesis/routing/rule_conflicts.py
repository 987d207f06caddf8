"""What is wrong with rules as a set: those that contradict, and those that can do nothing.

Both are proved from the conditions alone. A rule is called unreachable only when its own
conditions exclude each other, or when each of its effects is settled before its turn comes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from genesis.routing.conditions import at_least_as_wide, contradiction, may_meet
from genesis.routing.effects import Effect, Rule

_MAX_TRIED = 1_000  # values times rules, to prove that several rules settle one together


@dataclass(frozen=True, slots=True)
class Problem:
    """A rule that cannot stay as it is: the rule, the key that is wrong, and the reason."""

    rule: Rule
    key: str
    reason: str


def by_priority(rules: Sequence[Rule]) -> list[Rule]:
    """In the order in which rules count: highest priority first, ties as they are listed."""
    return sorted(rules, key=lambda rule: -rule.priority)


def problems(rules: Sequence[Rule]) -> list[Problem]:
    """Every contradiction and every rule that can never do anything, in the file's order."""
    found = [*_impossible(rules), *_contradictions(rules)]
    # What contradicts is mended first: whom it overrides is not clear before.
    return found or unreachable(rules)


def _impossible(rules: Sequence[Rule]) -> list[Problem]:
    found: list[Problem] = []
    for rule in rules:
        key, reason = contradiction(rule.when)
        if key:
            found.append(Problem(rule, f"when.{key}", f"the rule can never hold: {reason}"))
    return found


def _contradictions(rules: Sequence[Rule]) -> list[Problem]:
    found: list[Problem] = []
    for rule in rules:
        for one, other in combinations(rule.effects, 2):
            found += _contradiction(rule, one, rule, other)
    for first, second in combinations(rules, 2):
        if first.priority == second.priority and may_meet(first.when, second.when):
            for one in first.effects:
                for other in second.effects:
                    found += _contradiction(first, one, second, other)
    return found


def _contradiction(first: Rule, one: Effect, second: Rule, other: Effect) -> list[Problem]:
    if not contradict(one, other):
        return []
    reason = (
        f"{other} contradicts {one} of rule {first.name!r} (line {first.line}) at the same "
        f"priority {first.priority}; give one of them a higher priority or conditions that "
        "exclude each other"
    )
    return [Problem(second, f"then.{other.action}", reason)]


def contradict(one: Effect, other: Effect) -> bool:
    """Whether two effects on one task cannot both be done, whoever is registered."""
    actions = {one.action, other.action}
    same = one.target == other.target
    if "forbid" in actions:
        return same and len(actions) > 1
    # Two agents cannot both be the first or the only one; nor is one asked beside the only one.
    exclusive = actions == {"assign"} or "require" in actions
    return exclusive and not one.target.may_mean(other.target)


def unreachable(rules: Sequence[Rule]) -> list[Problem]:
    """Every rule that can never change what may be asked, with the rules that see to that."""
    ordered = by_priority(rules)
    found: list[Problem] = []
    for place, rule in enumerate(ordered):
        above = ordered[:place]
        settled = [_settled_by(effect, rule, above) for effect in rule.effects]
        if all(settled):
            names = list(
                dict.fromkeys(f"{by.name!r} (line {by.line})" for rules in settled for by in rules)
            )
            verbs = "comes first and holds" if len(names) == 1 else "come first and hold"
            reason = (
                f"the rule can never change anything: rule {' and '.join(names)} {verbs} "
                "whenever this one does; remove it, or give it a higher priority"
            )
            found.append(Problem(rule, f"then.{rule.effects[0].action}", reason))
    return sorted(found, key=lambda problem: problem.rule.line)


def _settled_by(effect: Effect, rule: Rule, above: Sequence[Rule]) -> list[Rule]:
    """Rules above, of which one makes the effect void whatever the task and the moment.

    None when that is not proved.
    """
    voiding = [
        place
        for place, other in enumerate(above)
        if any(
            _repeats(stronger, effect) or _forbids(stronger, effect) for stronger in other.effects
        )
    ]
    alone = _voided_by(effect, rule, above, voiding)
    if alone is not None:
        return [alone]
    found: list[Rule] = []
    for case in _cases(rule, _MAX_TRIED // len(voiding)) if len(voiding) > 1 else ():
        by = _voided_by(effect, case, above, voiding)
        if by is None:
            return []
        found.append(by)
    return found


def _cases(rule: Rule, most: int) -> list[Rule]:
    """The rule for each value that its conditions name; none where there are too many."""
    named = (*rule.when.of_task, *rule.when.of_moment)
    if math.prod(len(values) for _, values in named) > most:
        return []
    tasks = len(rule.when.of_task)
    found: list[Rule] = []
    for chosen in product(*(sorted(values) for _, values in named)):
        one = tuple((key, frozenset([v])) for (key, _), v in zip(named, chosen, strict=True))
        when = replace(rule.when, of_task=one[:tasks], of_moment=one[tasks:])
        found.append(replace(rule, when=when))
    return found


def _voided_by(
    effect: Effect, rule: Rule, above: Sequence[Rule], voiding: Sequence[int]
) -> Rule | None:
    for place in voiding:
        other = above[place]
        if not at_least_as_wide(other.when, rule.when):
            continue
        for stronger in other.effects:
            if _repeats(stronger, effect):
                return other
            if _forbids(stronger, effect) and not _helped(effect, rule, above[: place + 1]):
                return other
    return None


def _repeats(stronger: Effect, effect: Effect) -> bool:
    """Whether the effect only says again what holds, or comes too late to take it back.

    Once an agent was given anything, or was forbidden, later rules cannot turn that round; and a
    `require` of another agent is a `forbid`.
    """
    if effect.action == "forbid":
        if stronger.target == effect.target:
            return True
        return stronger.action == "require" and not stronger.target.may_mean(effect.target)
    return stronger.action == effect.action and stronger.target == effect.target


def _forbids(stronger: Effect, effect: Effect) -> bool:
    """Whether everybody whom the effect would favour is forbidden, and nobody else hurt by it."""
    if effect.action == "forbid":
        return False
    other_only = stronger.action == "require" and not stronger.target.may_mean(effect.target)
    if effect.action == "require":
        # It forbids all others too, so only a `require` of somebody else leaves it nothing.
        return other_only
    return other_only or (stronger.action == "forbid" and stronger.target == effect.target)


def _helped(effect: Effect, rule: Rule, above: Sequence[Rule]) -> bool:
    """Whether a rule above may favour one of the effect's agents: no `forbid` reaches it then."""
    return any(
        favour.action != "forbid" and favour.target.may_mean(effect.target)
        for other in above
        if may_meet(other.when, rule.when)
        for favour in other.effects
    )
