"""The nine task types. A task type is a plain string everywhere, so custom ones are allowed too."""

from __future__ import annotations

from enum import StrEnum


class TaskType(StrEnum):
    """What a request asks for, by its principal deliverable."""

    CODE_GENERATION = "code_generation"
    DATA_ANALYSIS = "data_analysis"
    TESTING = "testing"
    DEPLOYMENT = "deployment"
    DEBUGGING = "debugging"
    SYSTEM_DESIGN = "system_design"
    DOCUMENTATION = "documentation"
    OPTIMIZATION = "optimization"
    GENERAL = "general"


TASK_TYPES: tuple[str, ...] = tuple(task_type.value for task_type in TaskType)
