"""Tokens: made once, kept as hashes, told apart, expired, taken away while the server runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.errors import ConfigError, InputError
from genesis.server.auth import Callers, bearer_of
from genesis.server.tokens import hash_of, make_token, read_tokens
from genesis.testing import FakeClock
from infrastructure.callers import Caller
from infrastructure.redaction import hide_secrets


def test_a_made_token_admits_its_holder_to_its_tenant_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    ann = make_token(path, "ann", "team-a").token
    bob = make_token(path, "bob", "team-b").token
    callers = Callers(FakeClock(), path)

    assert callers.authenticate(ann) == Caller("team-a", "ann")
    assert callers.authenticate(bob) == Caller("team-b", "bob")
    assert callers.authenticate(None) is None
    assert callers.authenticate("") is None
    assert callers.authenticate(ann[:-1]) is None
    assert set(callers.tenants) == {"team-a", "team-b"}


def test_the_file_holds_no_token_and_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    token = make_token(path, "ann", "team-a").token

    assert token not in path.read_text()
    assert read_tokens(path)[0].sha256 == hash_of(token)
    assert path.stat().st_mode & 0o077 == 0
    assert token not in hide_secrets(f"somebody logged {token} by mistake")


def test_what_people_wrote_in_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text("# who may call\n- {name: old, tenant: t, sha256: " + "a" * 64 + "}")
    make_token(path, "new", "t")

    assert path.read_text().startswith("# who may call\n")
    assert [entry.name for entry in read_tokens(path)] == ["old", "new"]


def test_an_expired_token_is_refused(tmp_path: Path) -> None:
    clock = FakeClock()
    until = datetime.fromtimestamp(clock.now(), UTC) + timedelta(hours=1)
    token = make_token(tmp_path / "t.yaml", "ann", "team-a", expires=until).token
    callers = Callers(clock, tmp_path / "t.yaml")

    assert callers.authenticate(token) is not None
    clock.advance(3600)
    assert callers.authenticate(token) is None


def test_a_token_is_added_and_taken_away_without_a_restart(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "t.yaml"
    first = make_token(path, "first", "t").token
    callers = Callers(clock, path)
    second = make_token(path, "second", "t").token
    clock.advance(2)
    assert callers.authenticate(second) == Caller("t", "second")

    path.write_text("")
    clock.advance(2)
    assert callers.authenticate(first) is None
    assert callers.authenticate(None) is None, "taking the last token away must admit nobody"


def test_a_file_that_breaks_while_serving_leaves_the_tokens_in_force(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "t.yaml"
    token = make_token(path, "ann", "t").token
    callers = Callers(clock, path)
    path.write_text("- name: [")
    clock.advance(2)
    assert callers.authenticate(token) == Caller("t", "ann")


def test_without_tokens_whoever_is_here_is_local_until_one_is_made(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "t.yaml"
    callers = Callers(clock, path, tenant="mine")
    assert callers.authenticate(None) == Caller("mine", "local")
    assert not callers.needed

    make_token(path, "ann", "t")
    clock.advance(2)
    assert callers.authenticate(None) is None
    assert callers.needed


def test_the_environments_token_is_of_the_settings_tenant(tmp_path: Path) -> None:
    environ = {"GENESIS_TOKEN": "0123456789abcdef"}
    callers = Callers.of_environment(FakeClock(), tmp_path / "none.yaml", "mine", environ)
    assert callers.authenticate("0123456789abcdef") == Caller("mine", "GENESIS_TOKEN")
    assert callers.authenticate(None) is None
    with pytest.raises(ConfigError, match="too short"):
        Callers.of_environment(FakeClock(), tmp_path / "x", "t", {"GENESIS_TOKEN": "short"})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- name: a", "0.tenant"),
        ("tokens: []", "list"),
        ("- {name: a, tenant: t, sha256: xyz}", "0.sha256"),
        ("- {name: a, tenant: t, sha256: " + "a" * 64 + ", expires: 2027-01-01}", "0.expires"),
        ("- {name: a, tenant: t, sha256: " + "a" * 64 + ", admin: true}", "0.admin"),
        (("- {name: a, tenant: t, sha256: " + "a" * 64 + "}\n") * 2, "more than once"),
        ("- name: [", "not valid YAML"),
    ],
)
def test_a_damaged_file_is_an_error_that_says_where(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=problem) as raised:
        Callers(FakeClock(), path)
    assert str(path) in str(raised.value)
    assert "a" * 64 not in str(raised.value)


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    make_token(tmp_path / "t.yaml", "ann", "t")
    with pytest.raises(InputError, match="already"):
        make_token(tmp_path / "t.yaml", "ann", "other")


@given(st.text())
def test_no_text_is_taken_for_a_token(text: str) -> None:
    callers = Callers(FakeClock(), None, "a-token-of-some-length", "t")
    assert callers.authenticate(text) is None
    assert callers.authenticate(bearer_of(text)) is None


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer   ", None),
        ("Basic abc", None),
        ("bearer  abc ", "abc"),
        ("Bearer abc", "abc"),
    ],
)
def test_the_bearer_token_of_a_header(header: str | None, token: str | None) -> None:
    assert bearer_of(header) == token
