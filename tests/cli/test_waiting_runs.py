"""Runs that wait for a person, decided from the command line in other processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_process import Cli

from genesis import GenesisOrchestrator, Skill
from genesis.testing import FakeAgent

QUESTION = "How many rows are in data.csv, and which city has the highest mean price?"


@pytest.fixture
def waiting(cli: Cli) -> str:
    """The id of a run, begun by a program, that asks whether its plan may be done."""
    return cli.result_of(QUESTION, approve=("plan",)).run_id


def test_a_run_that_waits_says_on_stderr_what_for_and_how_to_answer(cli: Cli) -> None:
    done = cli("run", QUESTION, "--approve", "plan", stdin=b"")
    assert (done.returncode, done.stdout) == (4, "")
    (run,) = cli.json("runs", "--state", "waiting")["runs"]
    assert f"genesis approve {run['run_id']} --id plan" in done.stderr
    assert f"genesis reject {run['run_id']} --id plan" in done.stderr


def test_json_of_a_run_that_waits_is_one_document(cli: Cli, waiting: str) -> None:
    for arguments in (("run", QUESTION, "--approve", "plan"), ("resume", waiting)):
        done = cli(*arguments, "--json")
        result = json.loads(done.stdout)
        assert (done.returncode, done.stderr, result["state"]) == (4, "", "waiting")
        assert [asked["id"] for asked in result["approvals"]] == ["plan"]


def test_an_approved_run_goes_on_where_its_files_are(
    cli: Cli, waiting: str, tmp_path: Path
) -> None:
    elsewhere = Cli(tmp_path, tmp_path / "data")
    done = elsewhere("approve", waiting, "--comment", "go ahead")
    assert done.returncode == 0, done.stderr
    assert "Rome" in done.stdout
    assert "run " not in done.stdout
    reasons = [r for d in cli.json("explain", waiting)["decisions"] for r in d["reasons"]]
    assert "go ahead" in reasons
    assert cli.json("runs", "--state", "waiting")["runs"] == []


def test_a_rejected_run_fails_with_the_reason(cli: Cli, waiting: str) -> None:
    done = cli("reject", waiting, "--comment", "not today")
    assert done.returncode == 1
    assert "not today" in done.stderr
    assert cli.json("runs", "--failed")["runs"][0]["run_id"] == waiting


def test_a_plan_is_changed_in_a_file(cli: Cli, waiting: str) -> None:
    plan = json.loads(cli("show", waiting, "--plan").stdout)
    plan["tasks"][0]["description"] = "Answer, and be quick about it."
    (cli.workspace / "plan.json").write_text(json.dumps(plan))
    result = cli.json("approve", waiting, "--edit", "@plan.json")
    assert [task["description"] for task in result["tasks"]] == ["Answer, and be quick about it."]


def test_a_decision_that_does_not_fit_is_refused_and_the_run_still_waits(
    cli: Cli, waiting: str
) -> None:
    for arguments, complaint in (
        (("--edit", "be quick"), "JSON object"),
        (("--edit", "@missing.json"), "missing.json"),
        (("--id", "no-such"), "plan of run"),
    ):
        done = cli("approve", waiting, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert complaint in done.stderr
    assert cli.json("show", waiting)["approvals"][0]["id"] == "plan"


def test_a_decision_can_be_noted_and_the_run_gone_on_with_later(cli: Cli, waiting: str) -> None:
    assert cli.json("approve", waiting, "--later") == {"run_id": waiting, "decision": "approve"}
    assert f"genesis resume {waiting}" in cli("show", waiting).stdout
    again = cli("approve", waiting)
    assert (again.returncode, "waits for no decision" in again.stderr) == (2, True)
    assert "Rome" in cli("resume", waiting).stdout


def test_showing_a_run_that_waits_tells_how_to_answer(cli: Cli, waiting: str) -> None:
    shown = cli("show", waiting).stdout
    assert "waiting" in shown.splitlines()[0]
    assert "data_analysis" in shown.splitlines()[0]
    assert f"genesis approve {waiting} --id plan" in shown
    assert f"genesis show {waiting} --plan" in shown


def test_a_run_that_waits_is_cancelled_from_anywhere(
    cli: Cli, waiting: str, tmp_path: Path
) -> None:
    elsewhere = Cli(tmp_path, tmp_path / "data")
    told = elsewhere.json("cancel", waiting, "--reason", "no longer needed")
    assert told == {"run_id": waiting, "canceled": True, "within_s": 0.0}
    assert cli.json("show", waiting)["state"] == "canceled"
    assert "no longer needed" in cli("show", waiting).stdout
    assert cli.json("cancel", waiting, code=1)["canceled"] is False


@pytest.mark.parametrize(
    "arguments",
    [
        ("resume", "no-such-run"),
        ("approve", "no-such-run"),
        ("cancel", "no-such-run"),
        ("show", "no-such-run"),
        ("show", "no-such-run", "--plan"),
        ("diff", "no-such-run", "another"),
    ],
)
def test_an_unknown_run_is_named_with_the_command_that_lists_them(
    cli: Cli, arguments: tuple[str, ...]
) -> None:
    done = cli(*arguments, "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["kind"]) == (2, "UnknownRun")
    assert "no-such-run" in error["message"]
    assert "genesis runs" in done.stderr


def test_moments_to_ask_that_are_none_are_refused(cli: Cli) -> None:
    done = cli("run", QUESTION, "--approve", "everything")
    assert done.returncode == 2
    assert "task:TYPE" in done.stderr


def test_runs_are_filtered_by_state(cli: Cli, waiting: str) -> None:
    finished = cli.result_of(QUESTION).run_id
    for state, expected in (("completed", [finished]), ("waiting", [waiting]), ("failed", [])):
        found = cli.json("runs", "--state", state)["runs"]
        assert [run["run_id"] for run in found] == expected
    wrong = cli("runs", "--state", "asleep")
    assert (wrong.returncode, "interrupted" in wrong.stderr) == (2, True)
    assert cli("runs", "--state", "waiting", "--failed").returncode == 2


def test_two_runs_are_compared_by_what_they_have_not_in_common(cli: Cli, waiting: str) -> None:
    finished = cli.result_of(QUESTION).run_id
    differences = {d["what"]: d for d in cli.json("diff", waiting, finished)["differences"]}
    assert (differences["state"]["first"], differences["state"]["second"]) == (
        "waiting",
        "completed",
    )
    assert differences["answers: attempts"]["first"] is None
    assert "request" not in differences
    assert cli("diff", finished, finished).stdout == "no difference\n"


def test_a_run_whose_agents_only_a_program_knows_is_left_to_it(cli: Cli) -> None:
    def register(orchestrator: GenesisOrchestrator) -> None:
        skill = Skill("translate", "Translates.", ("general",), produces=("translation",))
        orchestrator.register_agent(FakeAgent("translator", "oui", skills=[skill]))

    asked = cli.result_of("Translate yes", prepare=register, approve=("plan",))
    approved = cli("approve", asked.run_id)
    assert (approved.returncode, approved.stdout) == (2, "")
    assert "translator" in approved.stderr
    assert cli.json("resume", asked.run_id, code=2)["error"]["kind"] == "InputError"
    assert cli.result_of(resume=asked.run_id, prepare=register).output == "oui"
