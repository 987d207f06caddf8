"""Settings and flags: order of precedence, and errors that name file, key and remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infrastructure.config import load_flags, load_settings, read_config
from infrastructure.errors import ConfigError


@pytest.fixture
def config_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "settings"
    folder.mkdir()
    return folder


def env(folder: Path, **variables: str) -> dict[str, str]:
    return {"GENESIS_CONFIG_DIR": str(folder), **variables}


def test_defaults_are_those_that_ship() -> None:
    settings = load_settings({})
    assert settings.db_path == "data/memori/genesis_memori.db"
    assert load_flags({}).orchestration_enabled


def test_environment_beats_file_and_override_beats_environment(config_dir: Path) -> None:
    (config_dir / "settings.yaml").write_text("max_replans: 1\ntenant: file\n")
    assert load_settings(env(config_dir)).max_replans == 1
    variables = env(config_dir, GENESIS_MAX_REPLANS="3", MEMORI_DB_PATH="x.db")
    settings = load_settings(variables, tenant="argument")
    assert (settings.max_replans, settings.db_path, settings.tenant) == (3, "x.db", "argument")


def test_a_file_that_the_folder_lacks_comes_from_the_package(config_dir: Path) -> None:
    assert load_flags(env(config_dir)).orchestration_enabled


@pytest.mark.parametrize("word", ["false", "0", "No", "OFF"])
def test_a_flag_is_turned_off_by_the_environment(word: str) -> None:
    assert not load_flags({"ORCHESTRATION_ENABLED": word}).orchestration_enabled


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("max_replans: many", "max_replans"),
        ("max_replans: -1", "max_replans"),
        ("budget_usd: .nan", "budget_usd"),
        ("no_such_key: 1", "no_such_key"),
        ("tenant: ''", "tenant"),
    ],
)
def test_a_wrong_setting_names_file_and_key(config_dir: Path, text: str, key: str) -> None:
    (config_dir / "settings.yaml").write_text(text)
    with pytest.raises(ConfigError, match=key) as caught:
        load_settings(env(config_dir))
    assert caught.value.source == str(config_dir / "settings.yaml")
    assert caught.value.key == key


def test_an_unknown_key_lists_what_is_allowed(config_dir: Path) -> None:
    (config_dir / "feature_flags.json").write_text(json.dumps({"orchestration": True}))
    with pytest.raises(ConfigError, match="orchestration_enabled"):
        load_flags(env(config_dir))


@pytest.mark.parametrize("text", ["[1, 2", "- a\n- b", "\x00", "just words"])
def test_a_damaged_file_is_named(config_dir: Path, text: str) -> None:
    (config_dir / "settings.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"settings\.yaml"):
        load_settings(env(config_dir))


def test_wrong_variables_are_named() -> None:
    with pytest.raises(ConfigError, match="ORCHESTRATION_ENABLED"):
        load_flags({"ORCHESTRATION_ENABLED": "perhaps"})
    with pytest.raises(ConfigError, match="GENESIS_RUN_TIMEOUT_S"):
        load_settings({"GENESIS_RUN_TIMEOUT_S": "soon"})
    with pytest.raises(ConfigError, match="GENESIS_CONFIG_DIR"):
        read_config("settings.yaml", {"GENESIS_CONFIG_DIR": "/no/such/folder"})


def test_models_are_listed_cheapest_first() -> None:
    settings = load_settings({"GENESIS_MODEL": "openai:small, openai:large"})
    assert settings.models == ("openai:small", "openai:large")
