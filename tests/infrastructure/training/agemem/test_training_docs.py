"""The documented configuration is the one in force."""

from __future__ import annotations

import json
import re
from pathlib import Path

from infrastructure.training.agemem.config import TrainingConfig

PAGE = Path(__file__).parents[4] / "docs" / "agemem_training.md"


def test_the_defaults_on_the_page_are_those_of_the_code() -> None:
    (told,) = re.findall(r"```json\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    shown, own = json.loads(told), dict(TrainingConfig().to_json())
    assert own.pop("reward")  # the page names it without its values
    assert shown == own
