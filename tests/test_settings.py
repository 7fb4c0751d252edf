"""Settings: which source wins, what is refused and how that reads, and config.toml itself."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tui_lookups.config_file import config_path
from tui_lookups.errors import FlagError, SettingsError
from tui_lookups.settings import Settings, describe_settings, load_settings, setting_fields
from tui_lookups.settings_file import config_schema, default_config_text, schema_text
from tui_lookups.settings_values import format_layers, parse_layers, parse_size


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.upper().startswith("LOOKUPS_"):
            monkeypatch.delenv(name)
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("LOOKUPS_CONFIG", str(path))
    path.write_text("", encoding="utf-8")
    return path


def row(name: str, **flags: object) -> tuple[object, str]:
    return next((r.value, r.source) for r in describe_settings(**flags) if r.name == name)


def test_each_source_outranks_the_next(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().model == "demo"
    config.write_text('model = "from-file"\n', encoding="utf-8")
    assert row("model") == ("from-file", f"file {config}")
    monkeypatch.setenv("LOOKUPS_MODEL", "from-environment")
    assert row("model") == ("from-environment", "environment LOOKUPS_MODEL")
    assert row("model", model="from-flag") == ("from-flag", "flag --model")
    assert row("model", model=None) == ("from-environment", "environment LOOKUPS_MODEL")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKUPS_MODEL", "")
    assert row("model") == ("demo", "default")


def test_paper_preset_gives_way_to_what_is_said(config: Path) -> None:
    assert row("trimmed", preset="paper") == (True, "preset paper")
    assert load_settings(preset="default").trimmed is False
    config.write_text("trimmed = false\n", encoding="utf-8")
    assert row("trimmed", preset="paper") == (False, f"file {config}")


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        load_settings().model = "other"


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("LOOKUPS_LAYERS", "9-11", "layers", (9, 10, 11)),
        ("LOOKUPS_LAYERS", "all", "layers", None),
        ("LOOKUPS_RAW_WEIGHTS", "1", "raw_weights", True),
        ("LOOKUPS_OFFLINE", "no", "offline", False),
        ("LOOKUPS_CACHE_SIZE_LIMIT", "20GB", "cache_size_limit", 20 * 10**9),
        ("LOOKUPS_CACHE_SIZE_LIMIT", "none", "cache_size_limit", None),
        ("LOOKUPS_THREADS", "3", "threads", 3),
        ("LOOKUPS_THREADS", "auto", "threads", None),
        ("LOOKUPS_TRUST_REMOTE_CODE", "true", "trust_remote_code", True),
        ("LOOKUPS_CHECKPOINT_SECONDS", "0.5", "checkpoint_seconds", 0.5),
        ("LOOKUPS_DEVICE", "cuda:1", "device", "cuda:1"),
        ("LOOKUPS_TOKEN_BUDGET", "2M", "token_budget", 2_000_000),
        ("LOOKUPS_TEXT_FIELD", "messages", "text_field", "messages"),
        ("LOOKUPS_TEXT_FIELD", "auto", "text_field", None),
        ("LOOKUPS_TOKEN_BUDGET", "none", "token_budget", None),
        ("LOOKUPS_BASE_URL", "http://127.0.0.1:8000/v1", "base_url", "http://127.0.0.1:8000/v1"),
        ("LOOKUPS_BASE_URL", "auto", "base_url", None),
        ("LOOKUPS_PRICE_PER_MILLION_INPUT", "0.5", "price_per_million_input", 0.5),
        ("LOOKUPS_PRICE_PER_MILLION_OUTPUT", "none", "price_per_million_output", None),
    ],
)
def test_environment_values(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, name: str, value: object
) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(load_settings(), name) == value


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("layers = 3", "layers", (3,)),
        ("layers = [2, 0, 2]", "layers", (0, 2)),
        ('layers = "0,2,5-7"', "layers", (0, 2, 5, 6, 7)),
        ("cache_size_limit = 1000", "cache_size_limit", 1000),
        ("raw_weights = true", "raw_weights", True),
    ],
)
def test_file_values(config: Path, line: str, name: str, value: object) -> None:
    config.write_text(line + "\n", encoding="utf-8")
    assert getattr(load_settings(), name) == value


def test_home_is_expanded_in_names_and_folders() -> None:
    settings = load_settings(model="~/m", cache_dir="~/c", log="~/l")
    assert settings.model == str(Path.home() / "m")
    assert (settings.cache_dir, settings.log) == (Path.home() / "c", Path.home() / "l")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("dtype", "float64", "float32, bfloat16, float16"),
        ("preset", "papers", "default, paper"),
        ("sign", "++", "auto, +, -, both"),
        ("activity_rule", "3sd", "2sd, top3"),
        ("device", "gpu", "auto, cpu, cuda, cuda:N, mps"),
        ("layers", "11-9", "9-11"),
        ("layers", "0-999999", "9-11"),
        ("layers", "", "9-11"),
        ("layers", (), "9-11"),
        ("window", 1, "a number from 2"),
        ("window", True, "a number from 2"),
        ("top", 0, "a number from 1"),
        ("threads", "many", "a number from 1"),
        ("cache_size_limit", "20 parsecs", "20GB"),
        ("cache_size_limit", 0, "20GB"),
        ("checkpoint_seconds", float("inf"), "a number above 0"),
        ("checkpoint_seconds", 0, "a number above 0"),
        ("raw_weights", "maybe", "true, false"),
        ("model", "", "a hub name"),
        ("seed", -1, "a number from 0"),
    ],
)
def test_a_wrong_flag_names_setting_value_source_and_what_is_allowed(
    name: str, value: object, allowed: str
) -> None:
    with pytest.raises(FlagError) as caught:
        load_settings(**{name: value})
    assert caught.value.message.startswith(f"{name} cannot be {value!r} (flag --{name.replace('_', '-')})")
    assert allowed in caught.value.hint


def test_a_wrong_value_from_environment_or_file_says_so(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('model = "window"\n\n  "window" = 1\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"window cannot be 1 \(file .*config.toml, line 3\)") as caught:
        load_settings()
    assert not isinstance(caught.value, FlagError)
    monkeypatch.setenv("LOOKUPS_WINDOW", "x")
    with pytest.raises(SettingsError, match=r"window cannot be 'x' \(environment LOOKUPS_WINDOW\)"):
        load_settings()
    assert load_settings(window=64).window == 64


def test_unknown_key_is_refused_with_a_close_name(config: Path) -> None:
    config.write_text('modle = "x"\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"unknown setting 'modle'.* Did you mean model\?"):
        load_settings()


def test_a_secret_in_the_file_is_refused_without_printing_it(config: Path) -> None:
    config.write_text('HF_TOKEN = "hf_hush"\n', encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "HF_TOKEN" in str(caught.value)
    assert "hf_hush" not in str(caught.value)


def test_secrets_are_not_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_hush")
    monkeypatch.setenv("OPENAI_API_KEY", "sk_hush")
    settings = load_settings()
    assert "hush" not in repr(settings) + repr(describe_settings())


def test_remote_code_cannot_be_trusted_by_a_file(config: Path) -> None:
    config.write_text("trust_remote_code = true\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="trust_remote_code cannot be set in"):
        load_settings()


@pytest.mark.parametrize("content", [b"model = ", b"\xff\xfe", b"model = 'a'\nmodel = 'b'\n"])
def test_a_file_that_is_no_toml(config: Path, content: bytes) -> None:
    config.write_bytes(content)
    with pytest.raises(SettingsError, match=r"config\.toml is not"):
        load_settings()


def test_a_named_file_must_exist(config: Path) -> None:
    config.unlink()
    with pytest.raises(SettingsError, match="does not exist"):
        load_settings()


def test_a_folder_is_no_config_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKUPS_CONFIG", str(config.parent))
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings()


def test_no_file_at_the_usual_place_is_fine() -> None:
    assert not config_path().exists()
    assert load_settings().corpus == "demo"


def test_default_config_changes_nothing_and_spells_every_setting(config: Path) -> None:
    text = default_config_text()
    assert tomllib.loads(text) == {}
    said = "\n".join(line[2:] for line in text.splitlines() if " = " in line)
    config.write_text(said, encoding="utf-8")
    assert set(tomllib.loads(said)) == set(setting_fields()) - {"trust_remote_code"}
    assert load_settings() == Settings()


def test_a_flag_that_is_no_setting_is_named() -> None:
    with pytest.raises(FlagError, match=r"'modle' is not a setting \(flag --modle\).*Did you mean model"):
        load_settings(modle="x")


def test_the_schema_that_ships_is_the_one_of_the_code() -> None:
    assert (files("tui_lookups") / "config.schema.json").read_text(encoding="utf-8") == schema_text()


def test_the_schema_takes_what_is_read() -> None:
    """Every default, every word for "none", and each other spelling: read, and valid."""
    check = Draft202012Validator(config_schema())
    said = "\n".join(line[2:] for line in default_config_text().splitlines() if " = " in line)
    check.validate(tomllib.loads(said))
    for line in (
        "layers = 3",
        "layers = [2, 0]",
        'layers = "0,2,5-7"',
        'cache_size_limit = "20GB"',
        "cache_size_limit = 1000",
        "price_per_million_input = 0.5",
        'device = "cuda:1"',
        '[keys]\nwalk.heads = "f5"',
    ):
        values = tomllib.loads(line)
        check.validate(values)
        for name, value in values.items():
            load_settings(**{name: value})


@pytest.mark.parametrize(
    "line",
    ["window = 1", 'dtype = "float64"', "modle = 1", "layers = []", "threads = true", 'base_url = "ftp://x"',
     "trust_remote_code = true"],
)  # fmt: skip
def test_the_schema_refuses_what_is_refused(config: Path, line: str) -> None:
    config.write_text(line, encoding="utf-8")
    assert not Draft202012Validator(config_schema()).is_valid(tomllib.loads(line))
    with pytest.raises(SettingsError):
        load_settings()


def test_keys_of_ones_own(config: Path) -> None:
    config.write_text('[keys]\nwalk.heads = "f5"\n"app.theme" = ["C", "f6"]\n', encoding="utf-8")
    assert load_settings().keys == {"walk.heads": "f5", "app.theme": "C,f6"}
    assert load_settings(keys=row("keys")[0]) == load_settings()
    config.write_text("[keys]\nwalk.heads = 5\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="keys cannot be"):
        load_settings()


def test_every_setting_is_described() -> None:
    assert [r.name for r in describe_settings()] == list(Settings.__struct_fields__)
    assert all(field.what and field.allowed for field in setting_fields().values())


@given(st.sets(st.integers(0, 200), min_size=1))
def test_layers_round_trip(layers: set[int]) -> None:
    ordered = tuple(sorted(layers))
    assert parse_layers(format_layers(ordered)) == ordered


@given(st.text(max_size=12))
def test_any_text_is_layers_or_a_value_error(text: str) -> None:
    try:
        layers = parse_layers(text)
    except ValueError:
        return
    assert layers == tuple(sorted(set(layers)))
    assert layers


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", 1000),
        ("20GB", 20 * 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("512mib", 2**29),
        ("2k", 2000),
        ("7B", 7),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1iB", "1 XB", "1e9", "٣GB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)
