"""Who could do a task, in which order, and why the others are not asked."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace

import pytest
from route_samples import QUICK, TASK, THOROUGH, Row, agent, ladder, routed

from genesis.routing.belief import Belief
from genesis.routing.candidates import Exploration, route
from genesis.routing.ladder import Route
from genesis.routing.rules import Facts, RuleBook, RuleEffects
from infrastructure.a2a.agent import AgentCard, Skill

NO_RULES = RuleEffects()


def _names(found: Route) -> list[str]:
    return [candidate.agent for candidate in found.candidates]


def _ruled(rule: str) -> RuleEffects:
    text = f"rules:\n  - {{name: r, then: {rule}, because: so}}\n"
    return RuleBook.parse(text, "r.yaml").effects(TASK, Facts())


def _why_not(card: AgentCard, *, has_model: bool = True) -> str:
    found = route(TASK, [card], NO_RULES, Belief(), has_model=has_model)
    assert found.candidates == ()
    return found.rejected[0].reason


def test_an_agent_with_another_skill_for_the_same_data_qualifies() -> None:
    assert _names(routed([agent("other", skill="ask")])) == ["other"]


def test_a_skill_that_declares_no_data_serves_its_own_task_types() -> None:
    own = agent("own", skill="anything", produces=())
    assert _names(routed([own])) == ["own"]


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (agent("x", task_types=("testing",)), "serves testing"),
        (agent("x", produces=("text",)), "does not produce 'data_answers'"),
        (agent("x", requires=("dataset", "script")), "needs 'script'"),
        (agent("x", skill="answer", task_types=(), produces=()), "is not 'answer_questions'"),
        (AgentCard("x", "", ()), "offers nothing"),
    ],
)
def test_who_cannot_do_it_is_rejected_with_the_reason(card: AgentCard, reason: str) -> None:
    assert reason in _why_not(card)


def test_an_agent_that_needs_a_model_is_rejected_without_one() -> None:
    card = agent("x", needs_model=True)
    assert "GENESIS_MODEL=provider:name" in _why_not(card, has_model=False)


def test_an_open_breaker_rejects() -> None:
    found = route(TASK, [QUICK, THOROUGH], NO_RULES, Belief(), health={"quick": False})
    assert _names(found) == ["thorough"]
    assert "circuit breaker" in found.rejected[0].reason


def test_the_record_decides_and_is_shown() -> None:
    found = routed([QUICK, THOROUGH], Row("quick", 0, 9), Row("thorough", 9, 0))
    assert _names(found) == ["thorough", "quick"]
    best = found.candidates[0]
    assert best.n == 9
    assert best.p_interval[0] < best.p_success <= best.p_interval[1]
    assert "9 attempts" in best.reason


def test_rules_assign_prefer_and_forbid() -> None:
    cards = [QUICK, THOROUGH]
    assert _names(route(TASK, cards, _ruled("{assign: thorough}"), Belief()))[0] == "thorough"
    assert _names(route(TASK, cards, _ruled("{prefer: thorough}"), Belief()))[0] == "thorough"
    found = route(TASK, cards, _ruled("{forbid: quick}"), Belief())
    assert _names(found) == ["thorough"]
    assert found.rejected[0].reason == "rule 'r': so (forbids quick)"


def test_an_assigned_agent_that_cannot_do_it_is_rejected_with_both_reasons() -> None:
    unable = agent("unable", produces=("text",))
    found = route(TASK, [unable, QUICK], _ruled("{assign: unable}"), Belief())
    assert _names(found) == ["quick"]
    assert "does not produce" in found.rejected[0].reason
    assert "although assigned by rule 'r'" in found.rejected[0].reason


def test_load_counts_what_runs_now_and_nothing_before() -> None:
    twins = [agent("one"), agent("two")]
    busy = route(TASK, twins, NO_RULES, Belief(), load={"one": 3})
    assert _names(busy) == ["two", "one"]
    long_ago = Belief([Row("one", 100_000, 0), Row("two", 100_000, 0)])
    for number in range(20):
        again = route(replace(TASK, id=f"t{number}"), twins, NO_RULES, long_ago, load={"one": 0})
        assert _names(again) == ["one", "two"]


def test_a_full_agent_waits_its_turn_but_is_not_lost() -> None:
    assert _names(route(TASK, [QUICK], NO_RULES, Belief(), load={"quick": 99})) == ["quick"]


def test_the_record_of_a_task_is_not_tied_to_its_id() -> None:
    rows = [Row("quick", 0, 9), Row("thorough", 9, 0)]
    other = Row("quick", 9, 0, task_type="testing")
    found = route(replace(TASK, id="other"), [QUICK, THOROUGH], NO_RULES, Belief([*rows, other]))
    assert _names(found) == ["thorough", "quick"]


@pytest.mark.parametrize("floor", [0.05, 0.5])
@pytest.mark.parametrize("others", [1, 4])
def test_every_candidate_goes_first_at_least_at_the_floors_share(floor: float, others: int) -> None:
    """Even one that always fails, costs as much as can be declared, and is busy."""
    hopeless = agent("hopeless", usd=10_000.0, seconds=1e6)
    cards = [hopeless, *(agent(f"good{n}", seconds=0.0001) for n in range(others))]
    belief = Belief(
        [Row("hopeless", 0, 400, usd=4e6), *(Row(f"good{n}", 400, 0) for n in range(others))]
    )
    explore, n = Exploration(random.Random(7), floor), 3_000
    least = floor / len(cards)
    in_route: Counter[str] = Counter()
    in_ladder: Counter[str] = Counter()
    for _ in range(n):
        found = route(TASK, cards, NO_RULES, belief, load={"hopeless": 50}, explore=explore)
        in_route[found.candidates[0].agent] += 1
        in_ladder[ladder(cards, found=found).rungs[0].agent] += 1
    assert in_route == in_ladder  # what HALO puts first to learn, DAAO asks first
    for card in cards:
        # Four standard deviations below the share that it must have at the least.
        assert in_route[card.name] > n * least - 4 * math.sqrt(n * least * (1 - least))
    # And no more than chance asks for: it is hopeless.
    assert in_route["hopeless"] < n * least + 4 * math.sqrt(n * least * (1 - least))


def test_what_is_known_decides_all_the_more_the_more_is_known() -> None:
    def share(attempts: int) -> float:
        belief = Belief([Row("quick", attempts, attempts), Row("thorough", 2 * attempts, 0)])
        explore = Exploration(random.Random(5), 0.0)
        cards = [agent("quick"), agent("thorough")]
        found = (route(TASK, cards, NO_RULES, belief, explore=explore) for _ in range(400))
        return sum(_names(one)[0] == "quick" for one in found) / 400

    little, much = share(1), share(50)
    assert 0.05 < little < 0.5
    assert much < 0.01


def test_exploration_never_outranks_a_rule() -> None:
    effects = _ruled("{assign: thorough}")
    explore = Exploration(random.Random(3), 1.0)
    for _ in range(20):
        assert _names(route(TASK, [QUICK, THOROUGH], effects, Belief(), explore=explore)) == [
            "thorough",
            "quick",
        ]


def test_without_exploration_the_order_is_the_same_every_time() -> None:
    cards = [agent(name) for name in "abc"]
    assert len({tuple(_names(routed(cards))) for _ in range(5)}) == 1


def test_of_an_agents_skills_the_one_of_the_operations_name_is_used() -> None:
    skills = tuple(
        Skill(name, "", ("data_analysis",), ("dataset",), ("data_answers",))
        for name in ("ask", "answer_questions")
    )
    assert routed([AgentCard("x", "", skills)]).candidates[0].operation == "answer_questions"
