"""What a request names, resolved inside the workspace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as given_
from hypothesis import strategies as st

from genesis.errors import InputError, WorkspaceError
from genesis.planning.given import MAX_REQUEST_CHARS, find_given


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "ws"
    files = [
        "sales.csv",
        "my sales data.csv",
        "data/big.jsonl.gz",
        "slow.py",
        "shop/__init__.py",
        "shop/cart.py",
        "src/billing/__init__.py",
        "api/pyproject.toml",
        "api/tests/test_api.py",
        "till/till/__init__.py",
        "till/tests/test_till.py",
        "desk/src/desk/__init__.py",
        "tests/test_shop.py",
        "report/notes.md",
        "old.xlsx",
    ]
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x", encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("request_", "name", "path"),
    [
        ("Analyse sales.csv and report the trend", "dataset", "sales.csv"),
        ("What is in ./sales.csv?", "dataset", "sales.csv"),
        ("Look at (sales.csv), please", "dataset", "sales.csv"),
        ("What is sales.csv's mean?", "dataset", "sales.csv"),
        ("Analyse 'my sales data.csv'.", "dataset", "my sales data.csv"),
        ('Analyse "my sales data.csv"', "dataset", "my sales data.csv"),
        ("Analyse my sales data.csv now", "dataset", "my sales data.csv"),
        ("Analyse data/big.jsonl.gz", "dataset", "data/big.jsonl.gz"),
        ("Profile `slow.py`", "script", "slow.py"),
        ("Fix slow.py:12", "script", "slow.py"),
        ("Document shop/cart.py", "source", "shop/cart.py"),
        ("Document the package shop.", "source", "shop"),
        ("Document the shop package", "source", "shop"),
        ("Document shop.cart", "source", "shop/cart.py"),
        ("Document shop.Cart", "source", "shop"),
        ("Document billing", "source", "src/billing"),
        ("Document src/billing/", "source", "src/billing"),
        ("Run the tests of ./api", "project", "api"),
        ("Run the tests of ./till", "project", "till"),
        ("Document the package till", "source", "till/till"),
        ("Document ./desk", "source", "desk/src/desk"),
        ("Run the tests of api", "project", "api"),
    ],
)
def test_names_become_data(workspace: Path, request_: str, name: str, path: str) -> None:
    assert find_given(request_, workspace).data[name] == str(workspace / path)


def test_an_absolute_path_inside_is_taken(workspace: Path) -> None:
    given = find_given(f"Analyse {workspace}/sales.csv.", workspace)
    assert given.data == {"dataset": str(workspace / "sales.csv")}


@pytest.mark.parametrize(
    ("request_", "arguments"),
    [
        ("Profile `slow.py --size 10 'a b'`", ["--size", "10", "a b"]),
        ("Profile slow.py --size 10 and name the worst", ["--size", "10"]),
        ("Run python slow.py 3 fast, then look", ["3", "fast"]),
        ("Profile slow.py with arguments 3 4.", ["3", "4"]),
    ],
)
def test_script_arguments(workspace: Path, request_: str, arguments: list[str]) -> None:
    assert find_given(request_, workspace).data["script_args"] == arguments


def test_words_after_a_script_are_no_arguments(workspace: Path) -> None:
    assert "script_args" not in find_given("Why is slow.py so slow?", workspace).data


@pytest.mark.parametrize(
    "request_",
    [
        "Report the trend",
        "Compare and/or merge the tests",
        "Design the endpoint /orders/{id} and GET /orders",
        "Read https://example.org/a.csv",
        "Export everything as *.csv",
        "Use df.groupby, e.g. by month",
        "Mail anna@shop.py",
    ],
)
def test_what_only_looks_like_a_name_is_none(workspace: Path, request_: str) -> None:
    assert find_given(request_, workspace).data == {}


@pytest.mark.parametrize(
    "request_", ["Read ../secret.csv", "Show /etc/passwd", "Analyse ~/x.csv", "Read a/../../b.py"]
)
def test_a_path_outside_is_refused(workspace: Path, request_: str) -> None:
    with pytest.raises(WorkspaceError, match="outside the workspace") as raised:
        find_given(request_, workspace)
    assert request_.split()[1] in str(raised.value)


def test_a_link_that_leads_outside_is_refused(workspace: Path) -> None:
    (workspace.parent / "secret.csv").write_text("a\n1\n", encoding="utf-8")
    (workspace / "inside.csv").symlink_to(workspace.parent / "secret.csv")
    with pytest.raises(WorkspaceError, match=r"inside\.csv"):
        find_given("Analyse inside.csv", workspace)
    with pytest.raises(WorkspaceError, match=r"inside\.csv"):
        find_given("Analyse it", workspace, {"dataset": "inside.csv"})


def test_a_missing_file_names_the_nearest(workspace: Path) -> None:
    with pytest.raises(InputError, match=r"'sale\.csv'.*nearest: sales\.csv"):
        find_given("Analyse sale.csv", workspace)


def test_a_file_to_be_made_need_not_exist(workspace: Path) -> None:
    given = find_given("Analyse sales.csv and save the result to out.csv", workspace)
    assert given.data == {"dataset": str(workspace / "sales.csv")}
    assert "out.csv" in given.notes[0]
    written = find_given(
        "Build a tool.py that reads in.csv", workspace, task_type="code_generation"
    )
    assert written.data == {}


def test_the_only_data_file_is_taken_and_said(tmp_path: Path) -> None:
    (tmp_path / "README.txt").write_text("x", encoding="utf-8")
    (tmp_path / "trips.tsv").write_text("a\n1\n", encoding="utf-8")
    given = find_given("Report the trend", tmp_path, task_type="data_analysis")
    assert given.data == {"dataset": str(tmp_path / "trips.tsv")}
    assert "trips.tsv" in given.notes[0]
    assert find_given("Report the trend", tmp_path, task_type="general").data == {}


def test_several_data_files_are_left_out_and_named(workspace: Path) -> None:
    given = find_given("Report the trend", workspace, task_type="data_analysis")
    assert "dataset" not in given.data
    assert "sales.csv" in given.notes[0]
    assert "big.jsonl.gz" in given.notes[0]


def test_of_several_data_files_the_one_called_by_its_stem_is_taken(workspace: Path) -> None:
    given = find_given("Report the trend of sales", workspace, task_type="data_analysis")
    assert given.data["dataset"] == str(workspace / "sales.csv")
    assert "sales.csv has that name" in given.notes[0]


def test_the_data_and_the_module_are_the_only_ones_there_are(tmp_path: Path) -> None:
    for name in ("trips.tsv", "src/shop/__init__.py", "src/shop/cart.py", "tests/test_shop.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    request = "Profile the data, then document the module, and run the tests"
    given = find_given(request, tmp_path, task_type="testing")
    assert given.data == {
        "dataset": str(tmp_path / "trips.tsv"),
        "source": str(tmp_path / "src/shop"),
        "project": str(tmp_path),
    }
    assert any("trips.tsv is the only one" in note for note in given.notes)
    assert any("src/shop is the only one" in note for note in given.notes)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ("Profile the data, then run the tests", r"'the data'.*big\.jsonl\.gz, .*sales\.csv.*name"),
        ("Document our package", r"'our package'.*shop.*src/billing.*name"),
    ],
)
def test_of_several_that_may_be_meant_none_is_left_out_in_silence(
    workspace: Path, request_: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        find_given(request_, workspace)
    assert find_given(request_, workspace, {"table": 1}).data.get("dataset") is None
    assert "dataset" in find_given(f"{request_} of sales.csv", workspace).data


@pytest.mark.parametrize(
    "request_",
    [
        "Analyse the data flow of a web site",
        "Summarise the data protection law",
        "Document the module system of Python",
        "Explain the data",
        "Translate 'profile the data' into French",
    ],
)
def test_words_that_mean_no_file_of_the_workspace(workspace: Path, request_: str) -> None:
    assert find_given(request_, workspace).data == {}


def test_that_nothing_is_there_to_be_meant_is_said(tmp_path: Path) -> None:
    given = find_given("Profile the data", tmp_path)
    assert given.data == {}
    assert "'the data' is nowhere" in given.notes[0]


def test_of_two_named_files_the_first_is_taken_and_said(workspace: Path) -> None:
    given = find_given("Analyse data/big.jsonl.gz and sales.csv", workspace)
    assert given.data["dataset"] == str(workspace / "data/big.jsonl.gz")
    assert "sales.csv" in given.notes[0]


def test_an_unreadable_kind_of_file_is_named(workspace: Path) -> None:
    with pytest.raises(InputError, match=r"old\.xlsx.*\.parquet"):
        find_given("Analyse old.xlsx", workspace, task_type="data_analysis")


def test_the_workspace_is_the_project_when_tests_are_asked_for(workspace: Path) -> None:
    given = find_given("Run the tests", workspace)
    assert given.data == {"project": str(workspace)}
    assert "tests" in given.notes[0]
    assert find_given("Tell me about tests", workspace).data == {}


def test_the_callers_names_win(workspace: Path) -> None:
    context = {"dataset": "data/big.jsonl.gz", "limit": 3, "script_args": "--a 'b c'"}
    given = find_given("Analyse sales.csv", workspace, context)
    assert given.data["dataset"] == str(workspace / "data/big.jsonl.gz")
    assert given.data["limit"] == 3
    assert given.data["script_args"] == ["--a", "b c"]


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"dataset": "../x.csv"}, "outside"),
        ({"dataset": "sale.csv"}, "nearest: sales.csv"),
        ({"dataset": 3}, "must be the path"),
        ({"bad name": 1}, "names no datum"),
    ],
)
def test_bad_data_of_the_caller(workspace: Path, context: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_given("Analyse", workspace, context)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("a" * (MAX_REQUEST_CHARS + 1), "100,000"),
        ("analyse\x00sales.csv", "not text"),
        ("\x01\x02\x03\x04abc", "not text"),
        ("\ud800\udfff\ud800", "not text"),
    ],
)
def test_requests_that_cannot_be_worked_on(tmp_path: Path, request_: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_given(request_, tmp_path)


def test_the_longest_request_is_read(workspace: Path) -> None:
    request = ("Analyse sales.csv shop " * 5000)[:MAX_REQUEST_CHARS]
    assert find_given(request, workspace).data["dataset"] == str(workspace / "sales.csv")


def test_a_workspace_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="missing"):
        find_given("x", tmp_path / "missing")


_PIECES = st.sampled_from(
    [
        *("sales.csv", "../x.csv", "/etc/passwd", "shop", "shop.cart", "./", "..", "~", "a/b"),
        *("//", "tests", "package", "'", "`", "\\", "`slow.py --a`", "python slow.py"),
        "x" * 300 + ".csv",
    ]
)


@given_(pieces=st.lists(st.one_of(_PIECES, st.text(max_size=8)), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_is_written_nothing_outside_is_ever_given(
    workspace: Path, pieces: list[str]
) -> None:
    try:
        given = find_given(" ".join(pieces), workspace, task_type="data_analysis")
    except InputError:
        return
    for name, value in given.data.items():
        if name != "script_args":
            assert Path(str(value)).resolve().is_relative_to(workspace.resolve())


def test_what_is_no_ordinary_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "broken.csv").symlink_to(tmp_path / "gone.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match=r"'folder\.csv' is a folder"):
        find_given("How many rows are in folder.csv?", tmp_path)
    for name in ("broken.csv", "pipe.csv"):
        with pytest.raises(InputError, match="broken link or no ordinary file"):
            find_given(f"How many rows are in {name}?", tmp_path)


def test_a_long_name_is_not_echoed_whole(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_given(f"How many rows are in {'x' * 5000}.csv?", tmp_path)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))
