"""From a name, a folder or a .gguf file to a LookupModel.

1. `sources.py` makes a local Hugging Face folder of whatever was named.
2. The configuration is read and models without MLP neurons are refused by name; so is a folder with a file
   or a key that figures would have to include and do not (inventory.py, configuration.py).
3. transformers loads the weights. Every tensor of the files must be in the model, every parameter of the
   model from the files, with the same values (tensor_places.py).
4. TransformerLens wraps the model (TransformerBridge) and folds the norms ("compatibility mode",
   method.md, section 1) unless the raw basis is asked for. Wrapped, and again folded, it must still be the
   model that transformers loaded (folding.py).
5. Activations are computed by the plain Hugging Face module where it agrees with the folded model
   (plain_forward.py), by the bridge elsewhere.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from tui_lookups.errors import (
    LookupsError,
    ModelLoadError,
    NumericalError,
    UnsupportedModelError,
    first_line,
    is_out_of_memory,
)
from tui_lookups.model.architecture import SUPPORTED, Architecture, describe, refuse_unsupported
from tui_lookups.model.checkpoint import read_tensors, require_weights
from tui_lookups.model.configuration import judge_keys, make_configuration, read_config
from tui_lookups.model.double_precision import KeepDouble, norms_in_double_precision
from tui_lookups.model.fates import require_none_refused, some
from tui_lookups.model.folding import SameModel, cast_rotated, require_folded
from tui_lookups.model.inventory import judge_files
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.placement import is_spread, over_gpus, require_on_gpus
from tui_lookups.model.plain_forward import NoPlainForward, attach, skeleton
from tui_lookups.model.tensor_places import judge_names, judge_tensors, require_same_values
from tui_lookups.model.tokenizer_folder import read_vocabulary
from tui_lookups.model.vocabulary import Vocabulary
from tui_lookups.results import BosRule, ModelInfo

DTypeName = Literal["float32", "float64", "bfloat16", "float16"]

_LAYER_IN_NAME = re.compile(r"\.(\d+)\.")

_log = logging.getLogger(__name__)


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


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep transformers, TransformerLens and torch from writing to a terminal the app owns."""
    from transformers.utils import logging as transformers_logging

    bars_shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loggers = [
            logging.getLogger(name)
            for name in ("transformers", "transformer_lens", "huggingface_hub", "torch")
        ]
        before = [(logger, logger.level, logger.propagate) for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        # TransformerLens also warns through the root logger, which would install a handler on stderr.
        root, silent = logging.getLogger(), logging.NullHandler()
        root.addHandler(silent)
        root.addFilter(_errors_only)
        try:
            yield
        finally:
            if bars_shown:
                transformers_logging.enable_progress_bar()
            root.removeFilter(_errors_only)
            root.removeHandler(silent)
            for logger, level, propagate in before:
                logger.setLevel(level)
                logger.propagate = propagate


def _errors_only(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


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
    say: Callable[[str], None] = lambda _: None,
) -> LookupModel:
    """Load a local Hugging Face folder.

    Args:
        folder: config.json, weights (safetensors) and tokenizer.
        name, source, fingerprint: travel into `ModelInfo`.
        folded: compatibility mode; False gives the raw basis, for congruence only.
        bos: whether begin-of-text is put in front of texts.
        spread: the blocks on all GPUs (placement.py), instead of all on `device`.
        say: told each stage in a few words.
    Raises:
        ModelLoadError: missing or damaged files, no such device, not enough memory.
        UnsupportedModelError: no MLP neurons of our kind, or wrapping or folding changed the model.
        NumericalError: weights with NaN or infinite values, named by layer.
    """
    config = read_config(folder, name)
    refuse_unsupported(config, name)
    target = choose_device(device)
    placing = over_gpus(device) if spread else {}
    say(f"reading the weights of {name}")
    try:
        from transformers import AutoTokenizer

        with quiet_libraries(), torch.inference_mode(False), torch.no_grad():
            made = make_configuration(folder, config, name, trust_remote_code)
            require_weights(folder)
            stored = read_tensors(folder, name)
            require_none_refused([*judge_files(folder), *judge_names(stored)], name)
            require_none_refused(judge_keys(config, made), name, type(made).__name__)
            hf_model = _load_weights(folder, name, getattr(torch, dtype), trust_remote_code, placing)
            require_none_refused(judge_tensors(stored, hf_model), name, type(hf_model).__name__)
            _check_finite(hf_model, name)
            _own_weights(hf_model)
            require_same_values(stored, hf_model, name)
            if dtype == "float64":
                norms_in_double_precision(hf_model)
            vocabulary = read_vocabulary(folder, _vocabulary_size(hf_model), bos)
            rows = _vocabulary_size(hf_model)
            if vocabulary.bos_id is not None and vocabulary.bos_id >= rows:
                raise ModelLoadError(
                    f"{name} cannot read its begin-of-text, token #{vocabulary.bos_id}: its embedding ends "
                    f"at #{rows - 1}.",
                    "Fetch the model and its tokenizer again, or give --bos never.",
                )
            parameters = sum(values.numel() for values in hf_model.parameters())
            say(f"wrapping {name}")
            if not is_spread(hf_model):
                hf_model = hf_model.to(target)
            plain = _skeleton_or_reason(hf_model)
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            with _taken_apart(name, str(config["model_type"])):
                same = SameModel(hf_model, vocabulary.bos_id, name)
                bridge = _wrap(hf_model, tokenizer, folder, target, getattr(torch, dtype))
                architecture = describe(bridge, str(config["model_type"]), name)
                same.require(bridge, "Wrapping")
                if folded:
                    say("folding norms")
                    with KeepDouble() if dtype == "float64" else nullcontext():
                        bridge.enable_compatibility_mode()
                    same.require(bridge, "Folding the norms of")
                    require_folded(bridge, architecture, name)
            bridge.original_model.requires_grad_(False)
            info = _info(bridge, name, source, fingerprint, parameters, vocabulary, architecture)
            model = LookupModel(bridge, info, vocabulary, architecture, "folded" if folded else "raw")
            _choose_forward(model, plain, bridge)
    except LookupsError:
        raise
    except Exception as error:  # transformers and TransformerLens raise many kinds; each told in one sentence
        if is_out_of_memory(error):
            raise ModelLoadError(
                f"There is not enough memory on {target} for {name}.", "Try --dtype bfloat16 or --device cpu."
            ) from error
        raise ModelLoadError(
            f"{name} cannot be loaded: {first_line(error)[:300].rstrip('.')}.",
            "Run with --debug for the traceback.",
        ) from error
    return model


@contextmanager
def _taken_apart(name: str, family: str) -> Iterator[None]:
    """Whatever a library stumbles over within it is refused in our words; --debug shows where that was."""
    try:
        yield
    except LookupsError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise UnsupportedModelError(
            f"{name} ({family}) is of a make that cannot be taken apart into heads and neurons.", SUPPORTED
        ) from error


def _skeleton_or_reason(hf_model: Any) -> nn.Module | NoPlainForward:
    try:
        return skeleton(hf_model)
    except Exception as error:  # noqa: BLE001 - a module of any make may not be made for copying
        return NoPlainForward(f"its modules cannot be copied: {type(error).__name__}: {error}")


def _choose_forward(model: LookupModel, plain: nn.Module | NoPlainForward, bridge: Any) -> None:
    """Let the plain module compute activations where it can; say why where it cannot."""
    try:
        if isinstance(plain, NoPlainForward):
            raise plain
        model.use_plain_forward(attach(plain, bridge, model.architecture.family))
    except Exception as error:  # a module of any make may want to be called another way
        if is_out_of_memory(error):
            raise
        known = isinstance(error, NoPlainForward)
        model.forward_note = str(error) if known else f"{type(error).__name__}: {error}"
        _log.info("%s: the scan runs the slower bridge: %s", model.info.name, model.forward_note)


def _load_weights(
    folder: Path, name: str, dtype: torch.dtype, trust_remote_code: bool, placing: dict[str, Any]
) -> Any:
    from transformers import AutoModelForCausalLM

    # transformers fills tensors that the files lack, or hold in another shape, with random numbers.
    model, report = AutoModelForCausalLM.from_pretrained(
        str(folder),
        dtype=dtype,
        local_files_only=True,
        trust_remote_code=trust_remote_code,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
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


def _vocabulary_size(hf_model: Any) -> int:
    return int(hf_model.get_output_embeddings().weight.shape[0])


def _check_finite(hf_model: Any, name: str) -> None:
    for parameter, values in hf_model.named_parameters():
        if not bool(torch.isfinite(values).all()):
            half = values.dtype == torch.float16
            found = _LAYER_IN_NAME.search(parameter)
            where = f"layer {found[1]}, {parameter}" if found else parameter
            raise NumericalError(
                f"{name} has NaN or infinite weights in {where}.",
                "They may be too large for float16: try --dtype bfloat16 or float32."
                if half
                else "The file is damaged: fetch the model again.",
            )


def _own_weights(hf_model: Any) -> None:
    """Copy the weights out of the file: transformers maps it, so that a file written over in place would
    change what the model answers, and one cut short would end the process (SIGBUS)."""
    for values in hf_model.parameters():  # tied weights are one parameter, and stay it
        values.data = values.data.clone()


def _wrap(hf_model: Any, tokenizer: Any, folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(
        str(folder), hf_model=hf_model, tokenizer=tokenizer, device=str(device), dtype=dtype
    )
    cast_rotated(bridge, dtype)
    return bridge


def _context_length(bridge: Any) -> int:
    """How many tokens a text may have.

    A "longrope" model rotates every text of a batch by other frequencies as soon as one position lies beyond
    the length it was first trained on: what a text gives would depend on the texts beside it.
    """
    rotary = getattr(bridge.original_model.config, "rope_parameters", None) or {}
    length = int(bridge.cfg.n_ctx)
    if rotary.get("rope_type") == "longrope":
        length = min(length, int(rotary["original_max_position_embeddings"]))
    return length


def _info(
    bridge: Any,
    name: str,
    source: str,
    fingerprint: str,
    parameters: int,
    vocabulary: Vocabulary,
    architecture: Architecture,
) -> ModelInfo:
    cfg = bridge.cfg
    return ModelInfo(
        name=name,
        source=source,
        fingerprint=fingerprint,
        family=architecture.family,
        n_layers=int(cfg.n_layers),
        n_heads=int(cfg.n_heads),
        d_model=int(cfg.d_model),
        d_head=int(cfg.d_head),
        d_mlp=int(bridge.blocks[0].mlp.W_out.shape[0]),
        d_vocab=int(bridge.W_U.shape[1]),
        n_ctx=_context_length(bridge),
        parameters=parameters,
        gated=architecture.gated,
        own_layer=architecture.own_layer,
        bos=vocabulary.bos,
    )
