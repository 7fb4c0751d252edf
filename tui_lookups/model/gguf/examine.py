"""Everything that a .gguf file says, decided before a single weight is read.

1. The header is read; the architecture must be one of families.py.
2. Sizes and configuration come from the keys, the plan of the weights from the tensors, the tokenizer from
   tokenizer.ggml. Each key and tensor is entered in one ledger: applied, harmless or refused; what the file
   lacks is entered too.
3. A file with a refused entry is not converted; the first one is the reason that people are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tui_lookups.errors import ModelLoadError, UnsupportedModelError
from tui_lookups.model.gguf.families import GGUF_FAMILIES
from tui_lookups.model.gguf.family import GgufFamily, read_sizes
from tui_lookups.model.gguf.header import Header, TensorInfo, read_header
from tui_lookups.model.gguf.keys import EXPERTS, Ledger
from tui_lookups.model.gguf.tokenizer import read_tokenizer
from tui_lookups.model.gguf.values import can_dequantise, dequantised, type_name
from tui_lookups.model.gguf.weights import Placed, groups_present, place
from tui_lookups.results.inventory import EntryKind, FileEntry

_FREQUENCIES = "rope_freqs.weight"
_HINT = (
    "`lookups-tui doctor --model FILE` lists every key and tensor; the model's Hugging Face folder may load."
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a folder made of the file would hold; the texts are those of its JSON files."""

    header: Header
    config: dict[str, Any]
    weights: tuple[Placed, ...]
    tokenizer: str
    tokenizer_config: str


@dataclass(frozen=True, slots=True)
class Examined:
    """The entries of a file, and its plan unless one of them was refused."""

    entries: tuple[FileEntry, ...]
    plan: Plan | None


def inventory(path: Path) -> tuple[FileEntry, ...]:
    """What becomes of every key and tensor of a .gguf file, loadable or not; what it lacks is refused.

    Raises ModelLoadError where there is no such list: unreadable, damaged, or no GGUF file.
    """
    return examine(read_header(path)).entries


def make_plan(path: Path) -> Plan:
    """How a .gguf file becomes a folder.

    Raises:
        ModelLoadError: damaged, or something in it would be lost or is missing.
        UnsupportedModelError: of a family that is not known.
    """
    header = read_header(path)
    architecture = header.metadata.get("general.architecture")
    examined = examine(header)
    if examined.plan is not None:
        return examined.plan
    if not isinstance(architecture, str):
        raise ModelLoadError(
            f"{path.name} is a GGUF file that does not name its architecture.", "Fetch it again."
        )
    if architecture not in GGUF_FAMILIES:
        raise UnsupportedModelError(
            f"{path.name} is of the architecture {architecture[:40]!r}, not read from .gguf files.",
            f"Read are {', '.join(GGUF_FAMILIES)}; of others give the Hugging Face folder.",
        )
    first, *others = sorted(filter(_is_refused, examined.entries), key=_weight_of_reason)
    more = f" (and {len(others)} more, such as {others[0].name})" if others else ""
    kind = UnsupportedModelError if first.note == EXPERTS else ModelLoadError
    raise kind(f"{path.name} is not loaded: {first.name} {first.note}{more}.", _HINT)


def _is_refused(entry: FileEntry) -> bool:
    return entry.fate == "refused"


def _weight_of_reason(entry: FileEntry) -> int:
    """What explains the others comes first: experts, then keys that are missing."""
    if entry.note == EXPERTS:
        return 0
    return 1 if entry.kind == "key" and entry.note.startswith("is missing") else 2


def examine(header: Header) -> Examined:
    """Decide every entry of a file, and plan its conversion where none is refused."""
    architecture = header.metadata.get("general.architecture")
    ledger = Ledger(header.metadata, str(architecture))
    family = GGUF_FAMILIES.get(architecture) if isinstance(architecture, str) else None
    if family is None:
        ledger.refuse(
            "general.architecture", f"is {str(architecture)[:40]}, which is not read from .gguf files"
        )
        for tensor in header.tensors:
            ledger.put("tensor", tensor.name, "refused", "is of a family that is not known")
        ledger.settle()
        return Examined(_in_order(header, ledger), None)
    tensors = {tensor.name: tensor for tensor in header.tensors}
    config, weights = _model(family, tensors, ledger)
    files = read_tokenizer(ledger)
    ledger.settle()
    plan = None
    if not ledger.refused and files is not None:
        plan = Plan(header, config, tuple(weights), *files)
    return Examined(_in_order(header, ledger), plan)


def _model(
    family: GgufFamily, tensors: dict[str, TensorInfo], ledger: Ledger
) -> tuple[dict[str, Any], list[Placed]]:
    """The configuration, and where each parameter comes from."""
    for tensor in tensors.values():
        if not can_dequantise(tensor.type):
            ledger.put(
                "tensor", tensor.name, "refused", f"is of type {type_name(tensor.type)}, which is not read"
            )
    embedding = tensors.get("token_embd.weight")
    entries = ledger.metadata.get("tokenizer.ggml.tokens")
    rows = embedding.shape[0] if embedding else len(entries) if isinstance(entries, list) else 1
    sizes = read_sizes(ledger, rows)
    if sizes.layers > len(tensors):
        ledger.refuse(
            f"{ledger.prefix}block_count", f"is {sizes.layers}, and there are {len(tensors)} tensors"
        )
        for name in tensors:
            ledger.put("tensor", name, "refused", "is of a model whose size is not known")
        return {}, []
    factors = None
    frequencies = tensors.get(_FREQUENCIES)
    if family.scaled_frequencies and frequencies is not None:
        if frequencies.shape == (sizes.head_dim // 2,) and can_dequantise(frequencies.type):
            factors = dequantised(frequencies)
        else:
            note = f"has the shape {list(frequencies.shape)}, not [{sizes.head_dim // 2}]"
            ledger.put("tensor", _FREQUENCIES, "refused", note)
    config = family.configure(ledger, sizes, factors)
    present = groups_present(family.weights, tensors)
    switches = {name: group in present for group, name in family.switches.items()}
    weights = place(family.weights, tensors, sizes, ledger)
    return {
        "model_type": family.model_type,
        "architectures": [family.class_name],
        "dtype": "float32",
        **config,
        **switches,
        **_special_ids(ledger, rows),
        "tie_word_embeddings": "head" not in present,
    }, weights


def _special_ids(ledger: Ledger, rows: int) -> dict[str, int | None]:
    """Ids that the configuration names; what is no row of the embedding is none."""
    roles = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
    ids = {name: ledger.scalar(f"tokenizer.ggml.{key}_token_id") for name, key in roles.items()}
    return {name: value if type(value) is int and value < rows else None for name, value in ids.items()}


def _in_order(header: Header, ledger: Ledger) -> tuple[FileEntry, ...]:
    """The entries as the file has them: keys, tensors; then what it lacks."""
    keys: list[tuple[EntryKind, str]] = [("key", key) for key in header.metadata]
    there = dict.fromkeys([*keys, *(("tensor", tensor.name) for tensor in header.tensors)])
    lacking = [entry for key, entry in ledger.entries.items() if key not in there]
    return (*(ledger.entries[key] for key in there), *lacking)
