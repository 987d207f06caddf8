"""HALO's declared rules: who is assigned, preferred, forbidden or required, and why.

The language is described in `config/routing_rules.yaml` and `docs/routing.md`. Everything that can
be wrong with a rule is found when the file is read, and named by file, line, rule and key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from genesis.errors import ConfigError
from genesis.routing.conditions import Facts, known, of_now, words_of
from genesis.routing.effects import Action, Effect, Rule, RuleEffects
from genesis.routing.located_yaml import parse, read_text
from genesis.routing.rule_config import declared
from genesis.routing.rule_conflicts import by_priority, problems
from genesis.routing.team import Team
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard
from infrastructure.config import find_config

__all__ = ["Action", "Effect", "Facts", "RuleBook", "RuleEffects", "RulesNow"]

RULES_FILE = "routing_rules.yaml"


class RulesNow:
    """The rules that hold at one moment, as far as they do not depend on the task."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)

    def effects(self, task: Task) -> RuleEffects:
        """What the rules that hold do to a task."""
        if not self._rules:
            return RuleEffects()
        names = known(task)
        return RuleEffects(
            tuple(
                effect
                for rule in self._rules
                if rule.when.holds_for(names, task.description)
                for effect in rule.effects
            )
        )


class RuleBook:
    """All rules, highest priority first, ties in the file's order; and who must not be the same.

    Args:
        rules: in the file's order; nothing is wrong with them (see `rule_conflicts.problems`).
        team: who must not be the same.
        source: the file, for messages.
    """

    def __init__(
        self, rules: Iterable[Rule] = (), team: Team | None = None, source: str = ""
    ) -> None:
        self.rules = tuple(by_priority(tuple(rules)))
        self.team = team or Team()
        self.source = source
        self._need_words = any(rule.when.request for rule in self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    @classmethod
    def load(cls) -> RuleBook:
        """Read `config/routing_rules.yaml`.

        Raises:
            ConfigError: names the file, the line, the rule, the key, and what is allowed.
        """
        path: Path = find_config(RULES_FILE)
        return cls.parse(read_text(path), str(path))

    @classmethod
    def parse(cls, text: str, source: str) -> RuleBook:
        """Read rules from YAML; raises ConfigError as `load` does."""
        found = declared(parse(text, source), source)
        for problem in problems(found.rules):
            rule = problem.rule
            place = f"{source}, line {rule.line_of(problem.key)}, rule {rule.name!r}"
            raise ConfigError(place, problem.key, problem.reason)
        return cls(found.rules, found.team, source)

    def missing_targets(self, cards: Sequence[AgentCard]) -> list[tuple[Rule, Effect]]:
        """The effects that mean nobody who is registered."""
        return [
            (rule, effect)
            for rule in self.rules
            for effect in rule.effects
            if not any(effect.target.means(card) for card in cards)
        ]

    def require_known(self, cards: Sequence[AgentCard]) -> None:
        """Refuse rules that send tasks to nobody; whom a rule only forbids need not be there.

        Raises:
            ConfigError: names the rule, and the agents that are registered.
        """
        for rule, effect in self.missing_targets(cards):
            if effect.action == "forbid":
                continue
            key = f"then.{effect.action}"
            names = ", ".join(card.name for card in cards) or "none"
            raise ConfigError(
                f"{self.source}, line {rule.line_of(key)}, rule {rule.name!r}",
                key,
                f"no agent is registered that is {effect.target}; registered: {names}",
            )

    def now(self, facts: Facts) -> RulesNow:
        """The rules that hold at this moment for some task; ask it for each task of a plan."""
        moment = of_now(facts)
        words = words_of(facts) if self._need_words else ""
        return RulesNow([r for r in self.rules if r.when.holds_now(moment, facts, words)])

    def effects(self, task: Task, facts: Facts) -> RuleEffects:
        """What the rules that hold do to a single task."""
        return self.now(facts).effects(task)
