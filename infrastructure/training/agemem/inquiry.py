"""The second and third phase: a goal, what comes in, and the questions with what they need."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from infrastructure.models.usage import estimate_tokens
from infrastructure.training.agemem.conversation import Conversation, Known
from infrastructure.training.agemem.episodes import Arrival, Difficulty, Need, Question
from infrastructure.training.agemem.phrasing import SPEAKER, Subject, fill, mention, say
from infrastructure.training.agemem.talk import Talk

ROOM: Final = 0.6
"""What one question needs takes at most this share of the budget."""

_QUESTIONS: Final = (4, 7)
_WORKING_SHARE: Final = 0.25
_MOST_WORKING: Final = 3
_MOST_NEEDS: Final = 3
_SIZES: Final = (0.7, 0.18, 0.12)
_SAME_SUBJECT: Final = 0.5
_SAME_ATTRIBUTE: Final = 0.3
_THEME: Final = 0.6
_TWO_SUBJECTS: Final = 0.35
_AROUND: Final = 0.25
_CHATTER: Final = 0.25
_WITH_MEMORY: Final = 0.4


def draw_goal(talk: Talk, rng: random.Random, told: Conversation) -> tuple[str, list[Subject]]:
    """A sentence that says what comes next, and whom it is about."""
    goals = talk.book.goals
    named = [subject for subject in told.subjects if subject.kind != SPEAKER]
    if len(named) > 1 and rng.random() < _TWO_SUBJECTS:
        two = rng.sample(named, 2)
        phrasing = rng.choice(goals["both"])
        return talk.claim(fill(phrasing, a=two[0].name, b=two[1].name)), two
    subject = rng.choice(told.subjects)
    return talk.claim(say(rng.choice(goals[subject.kind]), subject)), [subject]


class SecondPhase:
    """What comes into the working context: working facts among distractors.

    Args:
        talk: words it.
        rng: draws it.
        difficulty: how many distractors, what budget.
        about: the subjects of the goal.
        count: working facts wanted; fewer if they would not fit the budget together.
    """

    def __init__(
        self,
        talk: Talk,
        rng: random.Random,
        difficulty: Difficulty,
        about: Sequence[Subject],
        count: int,
    ) -> None:
        self._talk = talk
        self._rng = rng
        facts = [self._fact(*each) for each in self._wanted(about, count)]
        while not _fits([known for known, _ in facts], difficulty.budget):
            facts.pop()
        self.known = tuple(known for known, _ in facts)
        arrivals = [arrival for _, arrival in facts]
        arrivals += [Arrival(self._distractor()) for _ in range(difficulty.distractors)]
        rng.shuffle(arrivals)
        self.arrivals = tuple(arrivals)

    def _wanted(self, about: Sequence[Subject], count: int) -> list[tuple[Subject, int]]:
        every = [
            (subject, place)
            for subject in about
            for place in range(len(self._talk.book.working[subject.bears]))
        ]
        return self._rng.sample(every, min(count, len(every)))

    def _fact(self, subject: Subject, place: int) -> tuple[Known, Arrival]:
        attribute = self._talk.book.working[subject.bears][place]
        value = self._rng.choice(attribute.values)
        phrasing = self._rng.choice(attribute.statement)
        sentence = self._talk.claim(say(phrasing, subject, v=value))
        text = self._surrounded(sentence)
        fact_id = f"working.{subject.key}.{attribute.name}"
        known = Known(fact_id, subject, attribute, (sentence,), len(text))
        return known, Arrival(text, sentence, fact_id)

    def _distractor(self) -> str:
        chatter = self._rng.random() < _CHATTER
        return self._surrounded(self._talk.chatter() if chatter else self._talk.distractor())

    def _surrounded(self, sentence: str) -> str:
        if self._rng.random() >= _AROUND:
            return sentence
        return self._talk.joined(sentence, self._talk.distractor())


class ThirdPhase:
    """Questions about what is true in the end.

    Args:
        talk: has the phrasings.
        rng: draws them.
        difficulty: whether they use other words, and what budget an answer has.
        told: the first phase.
        working: the facts of the second.
    """

    def __init__(
        self,
        talk: Talk,
        rng: random.Random,
        difficulty: Difficulty,
        told: Conversation,
        working: Sequence[Known],
    ) -> None:
        self._book = talk.book
        self._voiced = talk.voiced
        self._rng = rng
        self._difficulty = difficulty
        self._told = told
        self._working = working

    def questions(self, count: int) -> tuple[Question, ...]:
        """Some questions; each fact of long-term memory is as likely to be asked as another."""
        asked = self._about_working(working_questions(count))
        primary = list(self._told.known)
        self._rng.shuffle(primary)
        asked += [self._about_memory(known) for known in primary[: count - len(asked)]]
        self._rng.shuffle(asked)
        return tuple(asked)

    def _about_working(self, count: int) -> list[Question]:
        """Questions that together need every working fact."""
        groups: list[list[Known]] = [[] for _ in range(min(count, len(self._working)))]
        for number, known in enumerate(self._working):
            groups[number % len(groups)].append(known)
        for group in groups:
            if len(group) == 1 and self._rng.random() < _WITH_MEMORY:
                self._join(group, 2)
        return [self._asked(group) for group in groups]

    def _about_memory(self, known: Known) -> Question:
        size = self._rng.choices((1, 2, 3), _SIZES)[0]
        if size > 1 and self._rng.random() < _THEME:
            question = self._themed(known)
            if question is not None:
                return question
        group = [known]
        self._join(group, size)
        return self._asked(group)

    def _join(self, group: list[Known], size: int) -> None:
        """Add known facts up to a size, those of the same subject or attribute rather."""
        first = group[0]
        while len(group) < size:
            draw = self._rng.random()
            others = [known for known in self._told.known if known not in group]
            if draw < _SAME_SUBJECT:
                near = [known for known in others if known.subject == first.subject]
            elif draw < _SAME_SUBJECT + _SAME_ATTRIBUTE:
                near = [known for known in others if known.attribute == first.attribute]
            else:
                near = others
            fitting = [one for one in near or others if self._fit([*group, one])]
            if not fitting:
                return
            group.append(self._rng.choice(fitting))

    def _themed(self, first: Known) -> Question | None:
        """A question about several subjects at once; None if the facts do not give one."""
        for theme in self._book.themes.get(first.attribute.name, ()):
            every = [one for one in self._told.known if one.attribute.name in theme.attributes]
            others = {one.subject for one in every} - {first.subject}
            others = sorted((one for one in others if one.kind != SPEAKER), key=lambda s: s.name)
            if first.subject.kind == SPEAKER or not others:
                continue
            subjects = [first.subject, self._rng.choice(others)]
            needed = [one for one in every if one.subject in subjects]
            if len(needed) > _MOST_NEEDS or not self._fit(needed):
                continue
            phrasings = theme.paraphrase if self._difficulty.paraphrase else theme.question
            who = " and ".join(subject.name for subject in subjects)
            return self._question(fill(self._rng.choice(phrasings), who=who), needed)
        return None

    def _asked(self, group: Sequence[Known]) -> Question:
        """A question for one fact, or for two or three in one sentence."""
        other_words = self._difficulty.paraphrase
        if len(group) == 1:
            (known,) = group
            ways = known.attribute.paraphrase if other_words else known.attribute.question
            return self._question(say(self._rng.choice(ways), known.subject), group)
        parts = [
            mention(
                self._rng.choice(one.attribute.clause if other_words else one.attribute.topic),
                one.subject,
            )
            for one in group
        ]
        use = f"{'clauses' if other_words else 'topics'}_{'two' if len(group) == 2 else 'three'}"
        frame = self._rng.choice(self._book.frames[use])
        return self._question(fill(frame, **dict(zip("abc", parts, strict=False))), group)

    def _question(self, text: str, needed: Sequence[Known]) -> Question:
        subjects = dict.fromkeys(known.subject for known in needed)
        return Question(
            self._voiced(text),
            tuple(Need(known.fact_id, known.carriers) for known in needed),
            tuple(sentence for one in subjects for sentence in self._told.stale.get(one, ())),
        )

    def _fit(self, needed: Sequence[Known]) -> bool:
        return _fits(needed, self._difficulty.budget)


def draw_counts(rng: random.Random) -> tuple[int, int]:
    """How many questions are asked, and how many working facts they need."""
    questions = rng.randint(*_QUESTIONS)
    least = working_questions(questions)
    return questions, rng.randint(least, min(_MOST_WORKING, least + 1))


def working_questions(questions: int) -> int:
    """How many of the questions are about working facts."""
    return max(1, round(questions * _WORKING_SHARE))


def _fits(needed: Sequence[Known], budget: int) -> bool:
    return sum(estimate_tokens(" " * known.longest) for known in needed) <= ROOM * budget
