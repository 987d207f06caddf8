from __future__ import annotations

from genesis.tasks.types import TASK_TYPES, TaskType


def test_the_nine_types_are_plain_strings() -> None:
    assert TASK_TYPES == (
        "code_generation",
        "data_analysis",
        "testing",
        "deployment",
        "debugging",
        "system_design",
        "documentation",
        "optimization",
        "general",
    )
    assert TaskType.TESTING == "testing"
    assert all(type(task_type) is str for task_type in TASK_TYPES)
