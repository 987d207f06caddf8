"""What requests ask for by their likeness to examples."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from genesis.errors import ConfigError
from genesis.planning.deliverables import AskedConfig, DeliverableConfig, Deliverables
from genesis.planning.own_skills import OwnSkills
from genesis.planning.reader import RequestReader
from infrastructure.config import ConfigFile
from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.errors import ModelError
from infrastructure.jsonvalue import JsonObject

DATA = frozenset({"dataset"})
SCRIPT = frozenset({"script", "source"})
PROJECT = frozenset({"project", "source"})


@pytest.fixture(scope="module")
def reader() -> RequestReader:
    return RequestReader(BuiltinEmbedder())


@pytest.mark.parametrize(
    ("at_hand", "request_", "name"),
    [
        (DATA, "Has any of the otters in zoo.csv lost weight?", "answers"),
        (DATA, "zoo.csv: which keeper feeds most otters", "answers"),
        (DATA, "give me a feel for the records in zoo.csv, blanks and types", "overview"),
        (DATA, "otter weight by month as a line plot, zoo.csv", "report"),
        (SCRIPT, "most of feed.py's run time goes where?", "profile_script"),
        (SCRIPT, "feed.py stops with an IndexError, what's the cause", "debug"),
        (PROJECT, "are the unit tests of ./aquarium all passing", "run_tests"),
        (frozenset({"source"}), "which functions of src/pool are lacking a docstring", "document"),
    ],
)
def test_requests_in_words_of_their_own_are_read(
    reader: RequestReader, at_hand: frozenset[str], request_: str, name: str
) -> None:
    found = reader.read(request_, at_hand)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    ("at_hand", "looks", "changes"),
    [
        (DATA, "Are there duplicate otters in zoo.csv?", "Remove the duplicate otters in zoo.csv"),
        (DATA, "Find the missing weights in zoo.csv", "Impute the missing weights in zoo.csv"),
        (DATA, "Show the columns of zoo.csv", "Rename the columns of zoo.csv"),
        (PROJECT, "Which tests in ./pool fail?", "Repair the tests in ./pool that fail"),
        (SCRIPT, "Find the slow function in feed.py", "Rewrite the slow function in feed.py"),
    ],
)
def test_a_change_is_never_read_as_a_look_at_the_same_thing(
    reader: RequestReader, at_hand: frozenset[str], looks: str, changes: str
) -> None:
    looked, changed = reader.read(looks, at_hand), reader.read(changes, at_hand)
    assert changed is not None
    assert changed.name == "code"
    assert looked is not None
    assert looked.name != "code"


def test_what_is_named_decides_what_can_be_asked_of_it(reader: RequestReader) -> None:
    of_data, of_script = reader.read("Profile zoo.csv", DATA), reader.read("Profile zoo.py", SCRIPT)
    assert of_data is not None
    assert of_script is not None
    assert (of_data.asks, of_script.asks) == (("data_profile",), ("hotspots",))


def test_who_asks_for_a_script_to_be_made_asks_for_no_chart(reader: RequestReader) -> None:
    found = reader.read("Write a script that draws a chart of zoo.csv", DATA)
    assert found is not None
    assert found.name == "code"


@pytest.mark.parametrize("text", ["Run the tests", "Document the package", "Profile the script"])
def test_nothing_is_read_that_lacks_its_data(reader: RequestReader, text: str) -> None:
    assert reader.read(text, frozenset()) is None


def test_declared_phrases_win_for_what_the_examples_do_not_know(reader: RequestReader) -> None:
    own = {"ledger": DeliverableConfig(needs=["dataset"], phrases=["ledger"])}
    asked = {"general": AskedConfig(principal=["data_report"])}
    known = {"data_report": DeliverableConfig(needs=["dataset"], phrases=["chart"]), **own}
    skills = OwnSkills(lambda: (), frozenset(known), frozenset(DATA))
    deliverables = Deliverables(known, asked, skills, infer=lambda _: "general", reader=reader)
    given: JsonObject = {"dataset": "/files/zoo.csv"}
    assert deliverables.asked("Plot the otters of zoo.csv", "general", given) == ("data_report",)
    assert "ledger" in deliverables.asked("Plot the ledger of zoo.csv", "general", given)


class _Broken:
    name = "broken"
    version = "1"
    dimensions = 4

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise ModelError(f"no vectors for {len(texts)} texts")


def test_without_an_embedder_nothing_is_read_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader = RequestReader(_Broken())
    with caplog.at_level(logging.WARNING):
        assert reader.read("Profile zoo.csv", DATA) is None
        assert reader.read("Chart zoo.csv", DATA) is None
    assert [record.message.count("no vectors") for record in caplog.records] == [1]


def test_a_wrong_file_is_told_with_its_key() -> None:
    file = ConfigFile("examples.yaml", {"readings": {"one": {"asks": []}}})
    with pytest.raises(ConfigError, match=r"examples\.yaml"):
        RequestReader(BuiltinEmbedder(), file)
