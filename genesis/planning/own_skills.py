"""What agents of the user's own can make that no configuration names, and who asks for it.

A request asks for such data by the words of the skill's id, or by giving data that only this skill
takes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from genesis.tasks.infer_text import stems
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.jsonvalue import JsonObject


@dataclass(frozen=True, slots=True)
class OwnSkills:
    """The skills that make what no configuration names.

    Attributes:
        cards: the registered agents now.
        made: data that templates make or requests are known to ask for.
        given: data that requests are known to come with.
    """

    cards: Callable[[], Sequence[AgentCard]]
    made: Collection[str]
    given: Collection[str]

    def asked(self, text: str, given: JsonObject) -> tuple[str, ...]:
        """The data of the skills that a request means.

        Args:
            text: the request without the names of files.
            given: the named data that come with it.
        """
        words = frozenset(stems(text))
        return tuple(
            datum
            for skill in self._skills()
            if self._meant(skill, words, given)
            for datum in produced(skill)
        )

    def making(self, datum: str) -> Skill | None:
        """The first of these skills that makes a datum."""
        return next((skill for skill in self._skills() if datum in produced(skill)), None)

    def _skills(self) -> list[Skill]:
        return [
            skill
            for card in self.cards()
            for skill in card.skills
            if not any(datum in self.made for datum in produced(skill))
        ]

    def _meant(self, skill: Skill, words: Collection[str], given: JsonObject) -> bool:
        named = stems(skill.id.replace("_", " ").replace("-", " "))
        if named and all(stem in words for stem in named):
            return True
        special = [name for name in skill.requires if name not in self.given]
        return bool(special) and all(name in given for name in skill.requires)


def produced(skill: Skill) -> tuple[str, ...]:
    """What a skill makes; one that answers anything makes the datum of its own name."""
    return skill.produces or (skill.id,)
