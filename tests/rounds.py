"""How often a test that kills processes at random does so: 10 times, or `ROUNDS`."""

import os

import pytest

ROUNDS = int(os.environ.get("ROUNDS", "10"))

in_rounds = pytest.mark.rounds
