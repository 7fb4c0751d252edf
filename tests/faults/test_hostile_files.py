"""Sessions, exports and config files that somebody else wrote, or that were damaged with care."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.scene import NEURON, Scene, ask_until_right, questions
from tests.faults.tally import Row, tried
from tests.storage.test_hostile_cache import Bomb
from tui_lookups.answering.sessions import load_session, save_session, session_path
from tui_lookups.errors import CacheError, ExportError, LookupsError, SettingsError
from tui_lookups.exports import writing
from tui_lookups.exports.reading import read_export
from tui_lookups.model.loading import load_model
from tui_lookups.model.sources import find_model
from tui_lookups.results import SelectedNeuron, SelectedPrompt, Selection, SessionState, Token
from tui_lookups.settings import load_settings
from tui_lookups.storage import arrays
from tui_lookups.storage.files import file_digest

SHORT, LONG = 60, 3000
MODEL = "m" * 64
quick = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    max_examples=SHORT,
)
numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([2**63, -(2**64), 10**30, 1e308, -0.0, float("nan"), float("inf")]),
)
odd = st.one_of(
    st.none(), st.booleans(), numbers, st.text(max_size=20),
    st.sampled_from(["../../x", "L1.N5", "\x1b[31m", "\ud800", "9" * 5000, "__class__", "/etc/passwd"]),
    st.lists(numbers, max_size=3), st.dictionaries(st.text(max_size=5), numbers, max_size=2),
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a document."""
    found = [path]
    if isinstance(value, dict):
        found += [p for key, each in value.items() for p in places(each, (*path, key))]
    elif isinstance(value, list):
        found += [p for number, each in enumerate(value) for p in places(each, (*path, number))]
    return found


def changed(draw: st.DrawFn, document: Any) -> Any:
    """A document with up to three values replaced, left out or added."""
    new = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(new)))
        if not path:
            continue
        parent = new
        for step in path[:-1]:
            parent = parent[step]
        how = draw(st.integers(0, 3))
        if how == 0 and isinstance(parent, dict):
            del parent[path[-1]]
        elif how == 1 and isinstance(parent, dict):
            parent[draw(st.text(max_size=8))] = draw(odd)
        else:
            parent[path[-1]] = draw(odd)
    return new


RAW = [
    b"", b"{}", b"[]", b"null", b"[" * 200_000, b'{"a":' * 100_000, b"9" * 100_000, b"1e999", b"NaN", b"-",
    b"\xff\xfe\x00", b"\x00" * 1000, b'"\\ud800"', b'{"token": NaN}',
    b'{"schema_version": ' + b"9" * 5000 + b"}",
    b'{"schema_version": 1e400}', b'{"schema_version": 99}', b"\xef\xbb\xbf{}", b'{"a": 1, "a": 2}',
]  # fmt: skip


# --- sessions ---


def a_session() -> SessionState:
    basket = Selection((SelectedNeuron(NEURON),), (SelectedPrompt(NEURON, 12),), ())
    return SessionState(Token(7, " because"), NEURON, 12, None, basket)


def open_session(folder: Path, data: bytes) -> SessionState | None:
    session_path(folder, MODEL).write_bytes(data)
    try:
        return load_session(folder, model=MODEL, corpus=None)
    except LookupsError as error:
        assert "session" in error.message
        assert "\n" not in error.message
        assert error.hint
        return None


@pytest.mark.parametrize("data", RAW, ids=range(len(RAW)))
def test_sessions_of_other_content(tmp_path: Path, data: bytes) -> None:
    with tried(Row.FILES):
        assert open_session(tmp_path, data) is None


@pytest.mark.parametrize("examples", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])
def test_sessions_changed(tmp_path: Path, examples: int) -> None:
    """With the checksum (it does not match any more) and without (held to its fields): never a traceback."""
    whole = json.loads(save_session(tmp_path, a_session(), model=MODEL, corpus=None).read_bytes())

    def framed(text: str) -> bytes:
        return f'{{"sha256":"{whole["sha256"]}","session":{text}}}\n'.encode()

    @settings(quick, max_examples=examples)
    @given(st.data())
    def every(data: st.DataObject) -> None:
        new = changed(data.draw, whole["session"])
        with tried(Row.FILES, 2):
            text = json.dumps(new)
            open_session(tmp_path, text.encode())
            assert text == json.dumps(whole["session"]) or open_session(tmp_path, framed(text)) is None

    every()
    fitting = json.dumps({**whole["session"], "prompt_id": 13})
    with tried(Row.FILES, 2):
        assert open_session(tmp_path, fitting.encode()) is not None
        assert open_session(tmp_path, framed(fitting)) is None


# --- exports ---


@pytest.fixture(scope="module")
def export(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of a small export."""
    folder = tmp_path_factory.mktemp("export")
    explorer = scene.explorer(scene.copied(folder / "cache"))
    try:
        prompt = scene.answers["prompts"]["prompts"][0]["prompt_id"]
        marked = Selection((SelectedNeuron(NEURON),), (SelectedPrompt(NEURON, prompt),), ())
        document: dict[str, Any] = json.loads(
            writing.export(explorer, marked, folder / "x.json").read_bytes()
        )
        return document
    finally:
        explorer.close()


def open_export(path: Path, data: bytes) -> bool:
    path.write_bytes(data)
    try:
        read_export(path)
    except ExportError as error:
        assert len(error.message) < 2000
        assert error.hint
        return False
    return True


@pytest.mark.parametrize("data", RAW, ids=range(len(RAW)))
def test_exports_of_other_content(tmp_path: Path, data: bytes) -> None:
    with tried(Row.FILES):
        assert not open_export(tmp_path / "x.json", data)


@pytest.mark.parametrize("examples", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])
def test_exports_changed(export: dict[str, Any], tmp_path: Path, examples: int) -> None:
    assert open_export(tmp_path / "x.json", json.dumps(export).encode())

    @settings(quick, max_examples=examples)
    @given(st.data())
    def every(data: st.DataObject) -> None:
        text = json.dumps(changed(data.draw, export))
        with tried(Row.FILES):
            open_export(tmp_path / "x.json", text.encode())

    every()


# --- config files ---


def config_of(path: Path, data: bytes) -> str:
    """What is said of a config file; "" where it is taken."""
    path.write_bytes(data)
    try:
        load_settings()
    except SettingsError as error:
        assert "\n" not in error.message
        assert error.hint
        return error.message
    return ""


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("LOOKUPS_CONFIG", str(path))
    return path


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe", b"\x00", b"[" * 10_000, b"model = " + b"[" * 10_000, b"top = " + b"9" * 10_000,
        b"top = nan",
        b"top = inf", b"top = 1e400", b"model = 1979-05-27", b"a.b.c.d = 1", b"[model]\nx = 1", b"[[top]]",
        b"'' = 1", b'"\\u0000" = 1', b"top = 1\ntop = 2", b"model = '''\x1b[31m", b"= 1", b"window = -1",
        b"layers = '999999999999999999999-1'", b"threads = true", b"trust_remote_code = true", b"json = true",
    ],
)  # fmt: skip
def test_config_files_that_are_refused(config_file: Path, data: bytes) -> None:
    with tried(Row.FILES):
        assert config_of(config_file, data)


@pytest.mark.parametrize("examples", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])
def test_config_files_of_any_value(config_file: Path, examples: int) -> None:
    from tui_lookups.settings_file import default_config_text

    names = [line.split("=")[0].strip("# ") for line in default_config_text().splitlines() if " = " in line]

    @settings(quick, max_examples=examples)
    @given(st.lists(st.tuples(st.sampled_from(names), odd), max_size=3), st.text(max_size=20))
    def every(entries: list[tuple[str, Any]], rest: str) -> None:
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in entries) + rest
        with tried(Row.FILES):
            config_of(config_file, text.encode("utf-8", "surrogatepass"))

    every()


# --- planted payloads ---


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def bomb(trace: Path) -> bytes:
    data = pickle.dumps(Bomb(trace))
    pickle.loads(data)  # noqa: S301 - shows that the bomb works
    trace.rmdir()
    return data


def test_a_pickle_in_every_file_of_a_cache_runs_nothing(
    scene: Scene, tmp_path: Path, once_loaded: None, bomb: bytes, trace: Path
) -> None:
    """Each file of the cache in turn, the session among them, is a pickle: right answers, nothing run."""
    from tests.faults.test_damage import check, files_of

    names = [path.relative_to(scene.cache) for path in files_of(scene.cache) if path.suffix != ".npy"]
    names += [path.relative_to(scene.cache) for path in files_of(scene.cache) if path.suffix == ".npy"][::7]
    for number, name in enumerate(names):
        cache = scene.copied(tmp_path / f"c{number}")
        (cache / name).write_bytes(bomb)
        with tried(Row.CODE):
            check(scene, cache)
            assert not trace.exists(), name
        shutil.rmtree(cache)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00001.bin"])
def test_a_pickle_in_place_of_weights_runs_nothing(
    tiny_folder: Callable[[str], Path], tmp_path: Path, bomb: bytes, trace: Path, name: str
) -> None:
    """Raw, and inside the zip that torch writes: refused in a sentence."""
    import zipfile

    folder = Path(shutil.copytree(tiny_folder("gpt2"), tmp_path / "m"))
    (folder / "model.safetensors").unlink()
    if "of" in name:
        index = {"metadata": {"total_size": 1}, "weight_map": {"transformer.wte.weight": name}}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with zipfile.ZipFile(tmp_path / "zipped", "w") as archive:
        archive.writestr("archive/data.pkl", bomb)
        archive.writestr("archive/version", "3\n")
    for data in (bomb, (tmp_path / "zipped").read_bytes()):
        (folder / name).write_bytes(data)
        with tried(Row.CODE):
            found = find_model(str(folder), cache_dir=tmp_path / "cache", digest=file_digest)
            with pytest.raises(LookupsError) as caught:
                load_model(found.folder, name="m", source="", fingerprint="f", device="cpu")
            assert "\n" not in caught.value.message
            assert not trace.exists()


@pytest.mark.parametrize("where", ["config", "tokenizer", "both"])
def test_code_in_a_model_folder_is_not_run(
    tiny_folder: Callable[[str], Path], tmp_path: Path, trace: Path, where: str
) -> None:
    """auto_map names classes in the folder; without the setting trust_remote_code they are not imported."""
    folder = Path(shutil.copytree(tiny_folder("gpt2"), tmp_path / "m"))
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(trace)!r})\nclass Evil: pass\n")
    mapped = {
        "AutoConfig": "evil.Evil",
        "AutoModelForCausalLM": "evil.Evil",
        "AutoTokenizer": ["evil.Evil", None],
    }
    for name, wanted in (("config.json", "config"), ("tokenizer_config.json", "tokenizer")):
        if where in (wanted, "both"):
            described = json.loads((folder / name).read_text())
            if wanted == "tokenizer":
                described.pop("bos_token", None)  # so that transformers is asked
            unheard = {"model_type": "unheard"} if where == "both" and wanted == "config" else {}
            (folder / name).write_text(json.dumps({**described, **unheard, "auto_map": mapped}))
    with tried(Row.CODE):
        try:
            load_model(folder, name="m", source="", fingerprint="f", device="cpu")
        except LookupsError as error:
            assert "\n" not in error.message
            assert "code of its own" in error.message or "code that comes with" in error.message
            assert "if you trust it, give --trust-remote-code" in error.hint or "auto_map" in error.hint
        assert not trace.exists()


# --- paths ---


NAMES = ["../outside", "/etc/passwd", "..", "a/../../b", "a\0b", "~/x", "", ".", "x" * 300, "c:\\x"]


def test_names_in_manifests_lead_nowhere_else(scene: Scene, tmp_path: Path, once_loaded: None) -> None:
    """An index whose manifest, checksum and all, names a file elsewhere: refused and scanned again."""
    cache = scene.copied(tmp_path / "cache")
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    for name in reversed(NAMES):
        for manifest in cache.glob("indexes/*/manifest.json"):
            body = json.loads(manifest.read_bytes())
            body.pop("checksum")
            for block in body["arrays"].values():
                next(iter(block.values()))["file"] = name
            body["checksum"] = arrays._body_checksum(body)
            manifest.write_text(json.dumps(body))
            with tried(Row.PATHS), pytest.raises(CacheError, match="damaged"):
                arrays.ArrayFolder(manifest.parent).manifest()
    explorer = scene.explorer(cache)
    try:
        with tried(Row.PATHS):
            ask_until_right("uncached", questions(explorer)["uncached"], scene.answers["uncached"])
            explorer.cache_clear()
            assert outside.read_bytes() == b"precious"
    finally:
        explorer.close()


@pytest.mark.parametrize(
    "spec", ["../..", "a/../b", "../x/y", "a//b", "-a/b", "a/b/c", ".a/b", "a/..", "a b/c", "a\nb"]
)
def test_hub_names_that_are_paths(tmp_path: Path, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never asked of the hub, never a path below its cache."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    with tried(Row.PATHS), pytest.raises(LookupsError) as caught:
        find_model(spec, cache_dir=tmp_path, digest=file_digest, offline=True)
    assert "config.json" in caught.value.message or "There is no model" in caught.value.message


def test_links_in_the_cache_are_not_emptied(scene: Scene, tmp_path: Path, once_loaded: None) -> None:
    """Clearing a cache whose folders are links, or hold links, touches nothing behind them."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "thesis.tex").write_text("precious")
    cache = scene.copied(tmp_path / "cache")
    os.symlink(outside, cache / "indexes" / "link")
    shutil.rmtree(cache / "corpora")
    os.symlink(outside, cache / "corpora")
    explorer = scene.explorer(cache)
    try:
        with tried(Row.PATHS):
            explorer.cache_clear()
            assert (outside / "thesis.tex").read_text() == "precious"
    finally:
        explorer.close()
