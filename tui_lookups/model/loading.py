"""From a name, a folder or a .gguf file to a LookupModel.

1. `sources.py` makes a local Hugging Face folder of whatever was named.
2. The configuration is read and models without MLP neurons are refused by name; so is a folder with a file
   or a key that figures would have to include and do not (inventory.py, configuration.py).
3. transformers loads the weights. Every tensor of the files must be in the model, every parameter of the
   model from the files, with the same values (tensor_places.py).
4. The module that plays each role is found, and one short pass proves that the model computes what figures
   are worked out by (wiring.py, proof.py). The model itself is not changed: there is one copy of its weights,
   in the asked dtype.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from tui_lookups.errors import (
    LookupsError,
    ModelLoadError,
    NumericalError,
    first_line,
    is_out_of_memory,
)
from tui_lookups.model.architecture import describe
from tui_lookups.model.checkpoint import FLOATS, StoredTensor, read_tensors, require_weights
from tui_lookups.model.configuration import judge_keys, make_configuration, read_config
from tui_lookups.model.dictionaries.dictionary import of_units, require_fit
from tui_lookups.model.dictionaries.folders import LocalDictionary, open_dictionary
from tui_lookups.model.families import refuse_unsupported
from tui_lookups.model.fates import require_none_refused, some
from tui_lookups.model.first_import import import_transformers
from tui_lookups.model.fits import require_room
from tui_lookups.model.free_memory import free_bytes
from tui_lookups.model.inventory import judge_files
from tui_lookups.model.library_output import quiet_libraries, tensors_counted
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.norms import norms_in_double_precision
from tui_lookups.model.placement import is_spread, over_gpus, require_on_gpus
from tui_lookups.model.proof import find_wiring, random_text
from tui_lookups.model.tensor_places import judge_names, judge_tensors, let_go, require_same_values
from tui_lookups.model.tokenizer_folder import read_vocabulary
from tui_lookups.model.units import place_of
from tui_lookups.progress import Count, Say
from tui_lookups.results import Basis, BosRule, ModelInfo

DTypeName = Literal["float32", "float64", "bfloat16", "float16"]

_LENGTHS = ("n_positions", "max_position_embeddings", "seq_length", "max_seq_len")
_LENGTH_OTHERWISE = 2048
"""Where a configuration has none of these keys: models with ALiBi have no longest text."""

_LAYER_IN_NAME = re.compile(r"\.(\d+)\.")


def choose_device(name: str) -> torch.device:
    """ "auto" is CUDA where there is one, then Apple's GPU, then the CPU. Raises ModelLoadError."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = first_line(error).rstrip(".")
        raise ModelLoadError(f"The device {name!r} cannot be used: {reason}.", "Try --device cpu.") from error
    return device


def load_model(
    folder: Path,
    *,
    name: str,
    source: str,
    fingerprint: str,
    device: str = "auto",
    dtype: DTypeName = "float32",
    folded: bool = True,
    bos: BosRule = "auto",
    trust_remote_code: bool = False,
    spread: bool = False,
    units: LocalDictionary | None = None,
    say: Say = lambda _: None,
) -> LookupModel:
    """Load a local Hugging Face folder.

    Args:
        folder: config.json, weights (safetensors) and tokenizer.
        name, source, fingerprint: travel into `ModelInfo`.
        folded: read through the norms; False gives the raw basis, for congruence only.
        bos: whether begin-of-text is put in front of texts.
        spread: the blocks on all GPUs (placement.py), instead of all on `device`.
        units: the dictionary whose units take the place of its neurons.
        say: told each stage in a few words.
    Raises:
        ModelLoadError: missing or damaged files, no such device, not enough memory.
        UnsupportedModelError: no MLP neurons of our kind, or a model that computes something else.
        NumericalError: weights with NaN or infinite values, named by layer.
    """
    config = read_config(folder, name)
    refuse_unsupported(config, name)
    target = choose_device(device)
    placing = over_gpus(device) if spread else {}
    count = Count(f"reading the weights of {name}", 100)
    say(f"reading the weights of {name}")
    try:
        with quiet_libraries(), torch.inference_mode(False), torch.no_grad():
            made = make_configuration(folder, config, name, trust_remote_code)
            require_weights(folder)
            stored = read_tensors(folder, name)
            require_none_refused([*judge_files(folder), *judge_names(stored)], name)
            require_none_refused(judge_keys(config, made), name, type(made).__name__)
            for device_used in () if placing else dict.fromkeys((torch.device("cpu"), target)):
                require_room(stored, dtype, str(device_used), free_bytes(device_used), name)
            with tensors_counted(lambda done, total: say(count.at(50 * done // total))):
                hf_model = _load_weights(
                    folder, name, getattr(torch, dtype), trust_remote_code, placing, eager=_needs_eager(made)
                )
            require_none_refused(judge_tensors(stored, hf_model), name, type(hf_model).__name__)
            _own_weights(
                hf_model, stored.values(), lambda done, total: say(count.at(50 + 50 * done // total))
            )
            _check_finite(hf_model, name)
            require_same_values(stored, hf_model, name)
            if dtype == "float64":
                norms_in_double_precision(hf_model)
            rows = _vocabulary_size(hf_model)
            vocabulary = read_vocabulary(folder, rows, bos)
            if vocabulary.bos_id is not None and vocabulary.bos_id >= rows:
                raise ModelLoadError(
                    f"{name} cannot read its begin-of-text, token #{vocabulary.bos_id}: its embedding ends "
                    f"at #{rows - 1}.",
                    "Fetch the model and its tokenizer again, or give --bos never.",
                )
            parameters = sum(values.numel() for values in hf_model.parameters())
            if not is_spread(hf_model):
                hf_model = hf_model.to(target)
            hf_model.requires_grad_(False)
            _fuse_activations(hf_model)
            say("checking what its modules compute")
            home = next(hf_model.parameters()).device
            wiring = find_wiring(hf_model, name, random_text(rows, vocabulary.bos_id, home))
            family, activation = str(config["model_type"]), wiring.blocks[0].activation
            architecture = describe(wiring, family, type(activation).__name__, name)
            info = ModelInfo(
                name=name,
                source=source,
                fingerprint=fingerprint,
                family=family,
                n_layers=len(wiring.blocks),
                n_heads=wiring.n_heads,
                d_model=int(wiring.blocks[0].down.matrix.shape[1]),
                d_head=wiring.d_head,
                d_mlp=int(wiring.blocks[0].down.matrix.shape[0]),
                d_vocab=rows,
                n_ctx=_context_length(hf_model.config),
                parameters=parameters,
                gated=architecture.gated,
                own_layer=architecture.own_layer,
                bos=vocabulary.bos,
                post_ln=architecture.post_ln,
            )
            basis: Basis = "folded" if folded else "raw"
            dictionary = None
            if units is not None:
                say(f"opening {units.name}")
                dictionary = open_dictionary(units, "float64" if dtype == "float64" else "float32")
                require_fit(dictionary, place_of(name, wiring))
                info = of_units(info, dictionary)
                architecture = replace(architecture, gated=False, activation=dictionary.activation.label)
            model = LookupModel(hf_model, wiring, info, vocabulary, architecture, basis, dictionary)
    except LookupsError:
        raise
    except Exception as error:  # transformers raises many kinds; each is told in one sentence
        if is_out_of_memory(error):
            raise ModelLoadError(
                f"There is not enough memory on {target} for {name}.", "Try --dtype bfloat16 or --device cpu."
            ) from error
        raise ModelLoadError(
            f"{name} cannot be loaded: {first_line(error)[:300].rstrip('.')}.",
            "Run with --debug for the traceback.",
        ) from error
    return model


def _load_weights(
    folder: Path,
    name: str,
    dtype: torch.dtype,
    trust_remote_code: bool,
    placing: dict[str, Any],
    *,
    eager: bool,
) -> Any:
    """The model. `eager`: its attention is computed as it is written down."""
    import_transformers()
    from transformers import AutoModelForCausalLM

    # transformers fills tensors that the files lack, or hold in another shape, with random numbers.
    model, report = AutoModelForCausalLM.from_pretrained(
        str(folder),
        dtype=dtype,
        local_files_only=True,
        trust_remote_code=trust_remote_code,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **({"attn_implementation": "eager"} if eager else {}),
        **placing,
    )
    if placing:
        require_on_gpus(model, name)
    mismatched = sorted(entry[0] for entry in report["mismatched_keys"])
    if mismatched:
        raise ModelLoadError(
            f"{name} holds {some(mismatched, 'tensors')} in another shape than its configuration says.",
            "config.json and the weights do not belong together: fetch the model again.",
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelLoadError(
            f"{name} is incomplete: its files lack {some(missing, 'tensors')}.", "Fetch the model again."
        )
    return model.eval()


def _needs_eager(configuration: Any) -> bool:
    """Whether fused attention computes something else: it leaves a soft cap out."""
    return bool(getattr(configuration, "attn_logit_softcapping", None))


def _vocabulary_size(hf_model: Any) -> int:
    return int(hf_model.get_output_embeddings().weight.shape[0])


def all_finite(values: torch.Tensor) -> bool:
    """One read where all is well: a sum is finite only if all its terms are. If it is not, it may also have
    overflowed, and each value is looked at."""
    total = values.sum(dtype=torch.promote_types(values.dtype, torch.float32))
    return bool(torch.isfinite(total)) or bool(torch.isfinite(values).all())


def _check_finite(hf_model: Any, name: str) -> None:
    for parameter, values in hf_model.named_parameters():
        if not all_finite(values):
            half = values.dtype == torch.float16
            layer = _LAYER_IN_NAME.search(parameter)
            where = f"layer {layer[1]}, {parameter}" if layer else parameter
            raise NumericalError(
                f"{name} has NaN or infinite weights in {where}.",
                "They may be too large for float16: try --dtype bfloat16 or float32."
                if half
                else "The file is damaged: fetch the model again.",
            )


def _own_weights(hf_model: Any, stored: Iterable[StoredTensor], told: Callable[[int, int], None]) -> None:
    """Take the weights out of the file, tensor by tensor: transformers maps it where its values have the
    asked dtype, so that a file written over in place would change what the model answers, and one cut short
    would end the process (SIGBUS). What was taken is let go of at once: there are never two copies."""
    mapped = {FLOATS.get(tensor.dtype) for tensor in stored}
    parameters = list(hf_model.parameters())  # tied weights are one parameter, and stay it
    for done, values in enumerate(parameters):
        told(done, len(parameters))
        if str(values.dtype).removeprefix("torch.") in mapped:
            in_file = values.data
            values.data = in_file.clone()
            let_go(in_file)


def _fuse_activations(hf_model: nn.Module) -> None:
    """transformers spells GPT-2's GELU out in eight passes over memory; torch has a kernel of the formula."""
    for parent in list(hf_model.modules()):
        for name, child in parent.named_children():
            if type(child).__name__ == "NewGELUActivation":
                setattr(parent, name, nn.GELU(approximate="tanh"))


def _context_length(config: Any) -> int:
    """How many tokens a text may have.

    A "longrope" model rotates every text of a batch by other frequencies as soon as one position lies beyond
    the length it was first trained on: what a text gives would depend on the texts beside it.
    """
    given = (getattr(config, key, None) for key in _LENGTHS)
    length = next((value for value in given if isinstance(value, int)), _LENGTH_OTHERWISE)
    rotary = getattr(config, "rope_parameters", None) or {}
    if rotary.get("rope_type") == "longrope":
        length = min(length, int(rotary["original_max_position_embeddings"]))
    return length
