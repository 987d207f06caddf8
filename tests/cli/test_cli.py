"""The `genesis` command as a user runs it: a process, real files, real exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_process import Cli

QUESTION = "How many rows are in data.csv, and which city has the highest mean price?"


def test_a_run_can_be_followed_from_answer_to_feedback(cli: Cli) -> None:
    result = cli.json("run", QUESTION)
    assert result["success"]
    assert "3 rows" in result["output"]
    assert "Rome" in result["output"]
    run = str(result["run_id"])
    listed = cli.json("runs")["runs"]
    assert [entry["run_id"] for entry in listed] == [run]
    assert cli.json("show", run)["output"] == result["output"]
    steps = {decision["step"] for decision in cli.json("explain", run)["decisions"]}
    assert {"recall", "htdag", "halo", "aop", "daao", "execute"} <= steps
    assert cli.json("metrics")["overall_success_rate"] == 1.0
    assert cli("feedback", run, "--failure", "--comment", "not quite").returncode == 0
    assert cli.json("metrics")["overall_success_rate"] == 0.0
    assert cli.json("runs", "--failed")["runs"][0]["run_id"] == run


def test_what_an_agent_took_part_in_can_be_forgotten(cli: Cli) -> None:
    run = str(cli.json("run", QUESTION)["run_id"])
    nothing = cli("memory", "forget", "--source", "agent:nobody")
    assert (nothing.returncode, nothing.stdout) == (0, "nothing of it was known\n")
    done = cli.json("memory", "forget", "--source", "agent:data_analyst")
    # Two items: what the run taught, and the line that says that it was stored.
    assert done["forgotten"] == {"items": 2, "runs": 1, "workflows": 1}
    assert cli.json("runs")["runs"] == []
    assert cli.json("metrics")["total_workflows_executed"] == 0
    assert cli("memory", "forget", "--run", run).stdout == "nothing of it was known\n"


def test_nothing_is_forgotten_in_a_store_that_is_not_there(cli: Cli, tmp_path: Path) -> None:
    mistyped = tmp_path / "data" / "memroy.db"
    done = cli("memory", "forget", "--source", "agent:a", MEMORI_DB_PATH=str(mistyped))
    assert done.returncode == 2
    assert str(mistyped) in done.stderr
    assert not mistyped.exists()


def test_a_run_names_the_one_whose_plan_it_took_as_a_source(cli: Cli) -> None:
    first, second = (str(cli.json("run", QUESTION)["run_id"]) for _ in range(2))
    done = cli.json("memory", "forget", "--source", f"run:{first}")
    assert done["forgotten"]["runs"] == 1
    assert [entry["run_id"] for entry in cli.json("runs")["runs"]] == [first]
    assert cli("show", second).returncode == 2


def test_the_answer_goes_to_stdout_and_the_rest_to_stderr(cli: Cli) -> None:
    done = cli("run", QUESTION)
    assert done.returncode == 0, done.stderr
    assert "Rome" in done.stdout
    assert "run " not in done.stdout
    assert "plan" in done.stderr
    assert "critical path" in done.stderr
    assert "\x1b[" not in done.stdout + done.stderr


def test_what_is_taken_for_granted_is_said(cli: Cli) -> None:
    request = "How many rows are there in the data?"
    for command in ("plan", "run"):
        done = cli(command, request)
        assert done.returncode == 0, done.stderr
        assert "note: no data file is named in full: data.csv" in done.stderr
        assert "note:" not in done.stdout
    assert "data.csv" in cli.json("plan", request)["notes"][0]


def test_the_plan_is_shown_and_nothing_is_run(cli: Cli) -> None:
    plan = cli.json("plan", QUESTION)
    assert plan["task_type"] == "data_analysis"
    assert [rung["agent"] for rung in plan["ladders"][0]["rungs"]] == ["data_analyst"]
    assert cli.json("runs")["runs"] == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("run", ""), "empty"),
        (("run", "How many rows are in missing.csv?"), "missing.csv"),
        (("run", "How many rows are in ../../etc/passwd.csv?"), "outside"),
        (("run", QUESTION, "--budget", "-1"), "budget"),
        (("run", QUESTION, "--no-such-flag"), "no-such-flag"),
        (("explain", "no-such-run"), "no-such-run"),
        (("show", "no-such-run"), "genesis runs"),
        (("runs", "--since", "yesterday"), "yesterday"),
        (("feedback", "some-run"), "--success"),
        (("memory", "forget"), "--source"),
        (("memory", "forget", "--source", "agent:a", "--run", "r"), "--run"),
        (("no-such-command",), "no-such-command"),
    ],
)
def test_usage_errors_leave_with_2_and_name_the_remedy(
    cli: Cli, arguments: tuple[str, ...], complaint: str
) -> None:
    done = cli(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_binary_input_is_refused(cli: Cli) -> None:
    done = cli("run", "-", stdin=b"\xff\xfe\x00\x01")
    assert done.returncode == 2
    assert "UTF-8" in done.stderr


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "empty"), (b"\x00\x01\x02" * 100, "data.csv"), (b"PAR1 no parquet", "data.csv")],
)
def test_a_damaged_file_fails_with_1_and_says_why(cli: Cli, content: bytes, complaint: str) -> None:
    (cli.workspace / "data.csv").write_bytes(content)
    done = cli("run", QUESTION)
    assert done.returncode == 1, done.stdout + done.stderr
    assert complaint in done.stderr
    assert "genesis explain" in done.stderr


def test_an_unknown_column_is_named_with_those_there_are(cli: Cli) -> None:
    done = cli("run", "What is the mean weight in data.csv?")
    assert done.returncode == 1
    assert "weight" in done.stderr
    assert "price" in done.stderr


def test_errors_in_json(cli: Cli) -> None:
    error = cli.json("run", "", code=2)["error"]
    assert error["kind"] == "InputError"


def test_wrong_configuration_is_named(cli: Cli) -> None:
    done = cli("run", QUESTION, GENESIS_MAX_REPLANS="many")
    assert done.returncode == 2
    assert "GENESIS_MAX_REPLANS" in done.stderr
    folder = cli.workspace / "config"
    folder.mkdir()
    (folder / "plan_templates.yaml").write_text("templates: 3\n")
    done = cli("run", QUESTION)
    assert done.returncode == 2
    assert "plan_templates.yaml" in done.stderr
    assert "templates" in done.stderr


def test_code_generation_without_a_model_names_the_setting(cli: Cli) -> None:
    done = cli("run", "Implement a binary search algorithm")
    assert done.returncode == 1
    assert "GENESIS_MODEL=provider:name" in done.stderr


def test_version_1_by_the_flag(cli: Cli) -> None:
    done = cli("run", QUESTION, "--json", ORCHESTRATION_ENABLED="false")
    result = json.loads(done.stdout)
    assert (done.returncode, result["version"], result["success"]) == (0, "1.0", True)


def test_agents_doctor_and_path(cli: Cli) -> None:
    names = [card["name"] for card in cli.json("agents", "list")["agents"]]
    assert "data_analyst" in names
    findings = cli.json("doctor")["findings"]
    assert {finding["state"] for finding in findings} <= {"ok", "warning"}
    assert cli("path").stdout.strip().endswith("memory.db")
    (cli.workspace.parent / "data").mkdir(exist_ok=True)
    (cli.workspace.parent / "data" / "memory.db").write_bytes(b"damaged" * 1000)
    damaged = cli.json("doctor", code=1)["findings"]
    (error,) = [finding for finding in damaged if finding["state"] == "error"]
    assert "memory.db" in error["detail"]
    assert "MEMORI_DB_PATH" in error["remedy"]


def test_help_names_every_command(cli: Cli) -> None:
    text = cli("--help").stdout
    for command in ("run", "plan", "runs", "show", "explain", "metrics", "feedback", "doctor"):
        assert command in text


def test_the_version_is_printed(cli: Cli) -> None:
    assert cli("--version").stdout.startswith("genesis 2.")


def test_a_misspelt_variable_or_task_type_is_pointed_at(cli: Cli) -> None:
    done = cli("doctor", "--json", GENESIS_BUGET_USD="3")
    (found,) = [
        f for f in json.loads(done.stdout)["findings"] if f["subject"].endswith("BUGET_USD")
    ]
    assert (found["state"], "GENESIS_BUDGET_USD" in found["remedy"]) == ("warning", True)
    run = str(cli.json("run", QUESTION)["run_id"])
    assert "did you mean testing?" in cli("feedback", run, "--task-type", "testng").stderr
