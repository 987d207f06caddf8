"""What an agent's record at some kinds of task says about its success at another.

How much it says is learnt: agents whose rates at two task types are alike make one a good guide to
the other, and agents whose rates differ make it none. This is empirical Bayes: the expected squared
difference between an agent's rates at two types is estimated over all agents by moments, as the
between-group variance of a random-effects meta-analysis is (R. DerSimonian and N. Laird, 1986),
shrunk towards what the configuration assumes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

_LEAST_DIFFERENCE = 0.003  # squared; no two task types are quite the same
_LEAST_VARIANCE = 0.05  # of one outcome, so that a spotless record is not taken for certain


class Counted(NamedTuple):
    """Outcomes that tell of the present; fractions, since how many do is itself uncertain.

    Fields:
        successes: verified ones.
        n: all.
    """

    successes: float = 0.0
    n: float = 0.0

    def plus(self, other: Counted) -> Counted:
        """Both together."""
        return Counted(self.successes + other.successes, self.n + other.n)


class Guess(NamedTuple):
    """What other kinds of task let expect.

    Fields:
        mean: share of verified successes.
        weight: attempts at this very kind that it is worth.
        leaning: the task type that it rests on most; empty without any.
    """

    mean: float
    weight: float
    leaning: str = ""


def apart(one: Counted, other: Counted, assumed: float) -> tuple[float, float]:
    """What one agent says of the squared difference of its rates at two task types.

    Args:
        one, other: its outcomes at them.
        assumed: what is expected before any record.

    Returns:
        its estimate, free of the noise of few outcomes, times its weight; and the weight, 0 to 1.
    """
    if one.n < 1 or other.n < 1:
        return 0.0, 0.0
    mean = (one.successes + other.successes + 1) / (one.n + other.n + 2)
    noise = mean * (1 - mean) * (1 / one.n + 1 / other.n)
    gap = one.successes / one.n - other.successes / other.n
    # A noisy pair says little: the inverse of its variance, relative to the assumption's.
    weight = (assumed / (assumed + noise)) ** 2
    return weight * (gap * gap - noise), weight


def difference(said: Iterable[tuple[float, float]], assumed: float, assumed_weight: float) -> float:
    """Expected squared difference between an agent's rates at two task types.

    Args:
        said: what each agent says of it, see `apart`.
        assumed: what is expected before any record.
        assumed_weight: agents that the assumption counts for.
    """
    total, weights = assumed * assumed_weight, assumed_weight
    for value, weight in said:
        total += value
        weights += weight
    return max(total / weights, _LEAST_DIFFERENCE)


def pooled(
    records: Mapping[str, Counted],
    task_type: str,
    here: Counted,
    differences: Mapping[str, float],
    unlike: float,
    hope: Guess,
) -> Guess:
    """What an agent's records at other types let expect of it at one.

    Half of a squared difference is the other type's own peculiarity, which averages out over
    types; the other half is that of the type in question, which no other type can tell.

    Args:
        records: the agent's outcomes by task type.
        task_type: the one in question.
        here: the agent's outcomes at this type, without those that are to be expected.
        differences: expected squared difference of rates between each and the one in question.
        unlike: the same between types of which nothing is known.
        hope: what is expected of any agent, as if it were the record at one more type.
    """
    told = [(name, *(here if name == task_type else counted)) for name, counted in records.items()]
    successes = hope.mean * hope.weight + sum([each for _, each, _ in told])
    mean = successes / (hope.weight + sum([n for _, _, n in told]))
    twice = 2 * max(mean * (1 - mean), _LEAST_VARIANCE)
    total, rate, own = hope.weight, hope.weight * hope.mean, hope.weight * unlike
    leaning, most = "", 0.0
    for name, successes, n in told:
        if n > 0:
            weight = 1 / (1 / n + differences[name] / twice)
            total += weight
            rate += weight * successes / n
            own += weight * differences[name]
            if weight > most:
                leaning, most = name, weight
    return Guess(rate / total, 1 / (1 / total + own / total / twice), leaning)
