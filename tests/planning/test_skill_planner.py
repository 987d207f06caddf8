"""Agents of the user's own are asked without a declared plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from genesis import Assignment, GenesisOrchestrator, Skill, TaskOutput
from genesis.testing import FakeAgent, FakeModel
from infrastructure.config import load_flags, load_settings

Make = Callable[[], GenesisOrchestrator]

TRANSLATE = Skill(
    "translate", "Translates text.", task_types=("general",), produces=("translation",)
)
WRITE = Skill("write_text", "Writes.", task_types=("documentation",), produces=("text",))
COUNT = Skill(
    "count_words",
    "Counts the words of a document.",
    task_types=("data_analysis",),
    requires=("document",),
    produces=("word_count",),
)
EXTRACT = Skill("extract_text", "Reads a scan.", requires=("scan",), produces=("document",))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build() -> GenesisOrchestrator:
        settings = load_settings(
            {}, workspace=tmp_path, data_dir=tmp_path / "data", db_path=":memory:"
        )
        return GenesisOrchestrator(settings=settings, flags=load_flags({}))

    return build


async def translate(assignment: Assignment) -> TaskOutput:
    return TaskOutput("bonjour", {"translation": "bonjour"})


async def count(assignment: Assignment) -> dict[str, int]:
    return {"word_count": len(str(assignment.inputs["document"]).split())}


async def extract(assignment: Assignment) -> dict[str, str]:
    return {"document": f"the text of {assignment.inputs['scan']}"}


@pytest.mark.parametrize(
    "request_text",
    [
        "Translate 'good morning' into French",
        "Please have this translated: good morning",
        "Translate letter 3 into German",
        "Please translate the article about tides, and do it well",
    ],
)
async def test_a_skill_is_asked_for_by_its_own_words(make: Make, request_text: str) -> None:
    async with make() as orchestrator:
        orchestrator.register_agent(translate, name="translator", skills=[TRANSLATE])
        result = await orchestrator.execute_orchestrated_request(request_text)
        again = await orchestrator.execute_orchestrated_request(request_text)
    assert result.success, result.errors
    assert [(task.id, task.agent) for task in result.tasks] == [("translate", "translator")]
    assert result.output == "bonjour"
    assert again.plan_source == "memory"


async def test_a_text_that_is_asked_for_beside_a_skill_is_written(make: Make) -> None:
    async with make() as orchestrator:
        orchestrator.register_agent(translate, name="translator", skills=[TRANSLATE])
        orchestrator.register_agent(
            FakeAgent("scribe", "Dear Ada", skills=[WRITE]),
        )
        result = await orchestrator.execute_orchestrated_request(
            "Write a letter to Ada and translate it into German"
        )
    assert result.success, result.errors
    assert [task.operation for task in result.tasks] == ["write_text", "translate"]


async def test_a_skill_is_asked_for_by_the_data_that_only_it_takes(make: Make) -> None:
    async with make() as orchestrator:
        orchestrator.register_agent(count, name="counter", skills=[COUNT])
        result = await orchestrator.execute_orchestrated_request(
            "How long is it?", context={"document": "one two three"}
        )
    assert result.success, result.errors
    assert [task.agent for task in result.tasks] == ["counter"]


async def test_skills_are_chained_through_what_they_require(make: Make) -> None:
    async with make() as orchestrator:
        orchestrator.register_agent(count, name="counter", skills=[COUNT])
        orchestrator.register_agent(extract, name="reader", skills=[EXTRACT])
        result = await orchestrator.execute_orchestrated_request(
            "Count the words, please", context={"scan": "page 7"}
        )
    assert result.success, result.errors
    assert [task.agent for task in result.tasks] == ["reader", "counter"]


async def test_what_a_skill_lacks_is_named(make: Make) -> None:
    async with make() as orchestrator:
        orchestrator.register_agent(count, name="counter", skills=[COUNT])
        result = await orchestrator.execute_orchestrated_request("Count the words, please")
    assert not result.success
    assert "context={'document': ...}" in " ".join(result.errors)


async def test_an_agent_that_answers_anything_needs_no_data_names(make: Make) -> None:
    async def sing(assignment: Assignment) -> str:
        return "la la la"

    async with make() as orchestrator:
        orchestrator.register_agent(sing, name="singer", skills=["sing"])
        result = await orchestrator.execute_orchestrated_request("Sing me something")
    assert result.success, result.errors
    assert result.output == "la la la"


async def test_other_requests_do_not_reach_it(make: Make, tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("city,price\nOslo,3\nRome,8\n")
    async with make() as orchestrator:
        orchestrator.register_agent(translate, name="translator", skills=[TRANSLATE])
        result = await orchestrator.execute_orchestrated_request("How many rows are in prices.csv?")
    assert result.success, result.errors
    assert [task.agent for task in result.tasks] == ["data_analyst"]


async def test_a_model_may_plan_with_own_skills_whatever_the_words(tmp_path: Path) -> None:
    look = Skill("research", "Looks things up.", produces=("facts",))
    sum_up = Skill("condense", "Condenses facts.", requires=("facts",), produces=("brief",))
    plan = {
        "tasks": [
            {"id": "a", "description": "Look it up", "operation": "research"},
            {"id": "b", "description": "Say it", "operation": "condense", "depends_on": ["a"]},
        ]
    }
    settings = load_settings({}, workspace=tmp_path, data_dir=tmp_path, db_path=":memory:")
    agents = [
        FakeAgent("reader", {"facts": "high at noon"}, skills=[look]),
        FakeAgent("teller", "The tide is high at noon.", skills=[sum_up]),
    ]
    async with GenesisOrchestrator(
        agents=agents, model=FakeModel(plan), settings=settings, flags=load_flags({})
    ) as orchestrator:
        result = await orchestrator.execute_orchestrated_request("Something about tides, please")
    assert result.success, result.errors
    assert result.plan_source == "model"
    assert result.output.endswith("The tide is high at noon.")
