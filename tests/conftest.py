"""What every test shares: quiet libraries, one torch thread, and small models built once a session."""

from __future__ import annotations

import gc
import os
import signal

# Before any library that reads them is imported.
os.environ.update(
    TQDM_DISABLE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_VERBOSITY="error",
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",
)

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.reference_huggingface import HuggingFaceReference
    from tui_lookups.model.loading import DTypeName
    from tui_lookups.model.lookup_model import LookupModel

    TinyModel = Callable[..., LookupModel]

# What a shell's `&` and nohup have a process ignore, its children ignore too. With a handler of its own this
# one still outlives the signal, and what it starts is started as from a terminal.
for _name in ("SIGINT", "SIGHUP"):
    _number = getattr(signal, _name, None)
    if _number is not None and signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)

settings.register_profile("tests", deadline=None)  # no test asserts a wall time
settings.load_profile("tests")


gc.disable()  # a quarter of the time that collecting tests takes; nothing of theirs is garbage


def pytest_collection_finish() -> None:
    """What is imported and collected stays to the end: no collection of garbage goes through it again."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def one_torch_thread() -> None:
    """Small models run slower on several threads, and test machines are shared."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, one_torch_thread: None) -> Callable[[str], Path]:
    """tiny_folder(name): the Hugging Face folder of a tiny random model of `tests.tiny_models.RECIPES`."""
    from tests.tiny_models import save_tiny_model

    folders: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in folders:
            path = tmp_path_factory.mktemp(name)
            save_tiny_model(name, path)
            folders[name] = path
        return folders[name]

    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Callable[[str], Path]) -> TinyModel:
    """tiny_model(name, dtype="float32", folded=True): that model, loaded once a session on the CPU."""
    from tui_lookups.model.loading import load_model

    models: dict[tuple[str, str, bool], LookupModel] = {}

    def model(name: str, dtype: DTypeName = "float32", folded: bool = True) -> LookupModel:
        key = (name, dtype, folded)
        if key not in models:
            path = tiny_folder(name)
            models[key] = load_model(
                path, name=name, source=str(path), fingerprint=name, device="cpu", dtype=dtype, folded=folded
            )
        return models[key]

    return model


@pytest.fixture(scope="session")
def reference(tiny_folder: Callable[[str], Path]) -> Callable[[str], HuggingFaceReference]:
    """reference(name): the independent float64 reference of that model."""
    from tests.reference_huggingface import HuggingFaceReference

    references: dict[str, HuggingFaceReference] = {}

    def of(name: str) -> HuggingFaceReference:
        if name not in references:
            references[name] = HuggingFaceReference(tiny_folder(name))
        return references[name]

    return of


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    """The GPT-2 that ships with the package."""
    import tui_lookups

    return Path(tui_lookups.__file__).parent / "demo" / "model"


@pytest.fixture(scope="session")
def demo_model(demo_folder: Path, one_torch_thread: None) -> LookupModel:
    """The model that ships with the package, loaded in float32 on the CPU."""
    from tui_lookups.model.loading import load_model

    return load_model(demo_folder, name="demo", source=str(demo_folder), fingerprint="demo", device="cpu")


@pytest.fixture(scope="module")
def once_loaded() -> Iterator[None]:
    """Explorers of this module that open the same model folder have one loaded model between them."""
    from tests.loaded_models import loaded_once

    with pytest.MonkeyPatch.context() as patch, loaded_once(patch, {}):
        yield


@pytest.fixture(scope="package")
def quick_waits() -> Iterator[None]:
    """The app under test is waited for by what is left to do, and its styles are parsed once a process."""
    from tests.tui.idleness import idle_when_nothing_is_left
    from tests.tui.parsed_styles import parsed_once

    with idle_when_nothing_is_left(), parsed_once():
        yield
