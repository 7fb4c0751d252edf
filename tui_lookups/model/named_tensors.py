"""The tensors of a model folder by what they are, and what the model is, from configuration and headers.

1. The family's row (file_layouts.py) names them, behind the prefix that the first of them is found with.
2. The unembedding is the head of the files where they hold one, whatever the configuration says; else the
   embedding, where the two are tied; else nothing, and the model is refused as it is loaded.
3. A file with a tensor or key that the row does not account for is left to the loaded model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tui_lookups.model.checkpoint import FLOATS, require_weights, weight_files
from tui_lookups.model.configuration import left_to_loading
from tui_lookups.model.families import FAMILIES, refuse_unsupported
from tui_lookups.model.fates import require_none_refused
from tui_lookups.model.file_layouts import PREFIXES, SIZE_KEYS, layout_of
from tui_lookups.model.inventory import judge_files
from tui_lookups.model.sources import LocalModel
from tui_lookups.model.tensor_files import Floats, NotInFilesError, PlacedTensor, TensorFiles
from tui_lookups.results import ModelInfo, Token

BLOCK_NUMBERS = 500_000
"""Numbers of a matrix that are converted at once: 2 MB in float32, which stay in the processor's caches."""

_CAP = "final_logit_softcapping"
_PARALLEL = ("use_parallel_residual", "parallel_attn")
"""Keys that say that attention and MLP stand beside each other."""

_TABLES = (
    ".attn.bias",
    ".attn.masked_bias",
    ".attention.bias",
    ".attention.masked_bias",
    "rotary_emb.inv_freq",
    ".act_fn.beta",
    ".act_fn.eps",
)
"""Tensors of some files that the model makes for itself: masks, rotary frequencies, constants."""


class NamedTensors:
    """What `FileWeights` reads of a folder. Thread-safe.

    Args:
        config: of config.json.
        dtype: what the values are rounded to.
    Raises:
        NotInFilesError: another family, kind of file or number format than can be read here, or a tensor or
            key whose part in the model only loading it decides.
        LookupsError: damaged files; a model without MLP neurons; files that are refused by name.

    Attributes:
        files: all tensors.
        layout, family: the rows of the family.
        head: the name of the unembedding.
        is_capped: the logits are capped, so that their mean over the vocabulary counts.
        write_scale, read_scale: factors on everything that blocks write, and on every unembedding.
    """

    def __init__(self, local: LocalModel, config: dict[str, Any], dtype: str) -> None:
        family = str(config.get("model_type", ""))
        layout = layout_of(config)
        if layout is None or family not in FAMILIES:
            raise NotInFilesError(f"{family or 'this family'} is read by loading it")
        refuse_unsupported(config, local.name)
        self._config, self.family, self.layout = config, FAMILIES[family], layout
        self.is_capped = bool(config.get(_CAP, self.layout.soft_cap))
        key = left_to_loading(config, self.layout.scales)
        if key is None and self.is_capped and self.layout.soft_cap is None:
            key = _CAP
        if key is not None:
            raise NotInFilesError(f"its configuration has {key}")
        self.write_scale, self.read_scale = self._scales()
        self._own_layer = self._reads_own_layer()
        require_weights(local.folder)
        require_none_refused(judge_files(local.folder), local.name)
        self.files = TensorFiles(weight_files(local.folder), dtype)
        self._own = {name: t for name, t in self.files.tensors.items() if not name.endswith(_TABLES)}
        self._prefix = self._find_prefix()
        self.head = self._find_head()
        self.sizes = self._sizes()
        self._require_expected()

    def W_out(self, layer: int) -> str:
        """The name of a layer's W_out."""
        return self.in_block(layer, self.layout.W_out)

    def in_block(self, layer: int, module: str) -> str:
        """The name of the weight of a layer's module. Raises NotInFilesError where there is none."""
        return self._named(f"{self.layout.block.format(layer)}{module}")

    def norm_in(self, layer: int, module: str) -> Floats:
        """What a norm in a layer multiplies by: [d_model]."""
        return self._norm(f"{self.layout.block.format(layer)}{module}")

    def unprefixed(self) -> dict[str, PlacedTensor]:
        """All tensors that are parameters, without the prefix that files of one model may or may not have."""
        return {name.removeprefix(self._prefix): tensor for name, tensor in self._own.items()}

    def stored_name(self, name: str) -> str:
        """The name in the files of one of `unprefixed`."""
        return name if name in self._own else f"{self._prefix}{name}"

    def final_norm(self) -> Floats:
        """What the norm before the unembedding multiplies by: [d_model]."""
        if self.layout.sum_norms is not None:
            return self.norm_in(self.sizes["n_layers"] - 1, self.layout.sum_norms[1])
        return self._norm(self.layout.final_norm)

    def sum_norms(self) -> list[Floats]:
        """What the norms of a Post-LN model's residual sums multiply by, from the first one up, that before
        the unembedding left out: [d_model] each; none in other models."""
        own, layers = self.layout.sum_norms, range(self.sizes["n_layers"])
        return [self.norm_in(layer, module) for layer in layers for module in own or ()][:-1]

    def project_out(self) -> Floats | None:
        """What the final norm's output goes through to the unembedding, [n, d_model]; None: nothing."""
        name = self._project_out
        return None if name is None else self.files.rows(name)

    @property
    def _project_out(self) -> str | None:
        name = f"{self._prefix}{self.layout.project_out}.weight"
        return name if self.layout.project_out is not None and name in self.files.tensors else None

    def post_norms(self) -> list[Floats] | None:
        """What each layer's norm after the MLP multiplies by, [d_model] each; None where there is none."""
        post, layers = self.layout.post_norm, range(self.sizes["n_layers"])
        return None if post is None else [self._norm(self.layout.block.format(n) + post) for n in layers]

    def info(self, local: LocalModel, bos: Token | None) -> ModelInfo:
        """What the model is, as loading it would say."""
        sizes, gated = self.sizes, self.family.gated
        assert gated is not None  # the configuration decides in no family that has a layout
        return ModelInfo(
            name=local.name,
            source=local.source,
            fingerprint=local.fingerprint,
            family=str(self._config["model_type"]),
            n_layers=sizes["n_layers"],
            n_heads=sizes["n_heads"],
            d_model=sizes["d_model"],
            d_head=int(self._config.get("head_dim") or sizes["d_model"] // sizes["n_heads"]),
            d_mlp=sizes["d_mlp"],
            d_vocab=sizes["d_vocab"],
            n_ctx=sizes["n_ctx"],
            parameters=self._count_parameters(),
            gated=gated,
            own_layer=self._own_layer,
            bos=bos,
            post_ln=self.layout.sum_norms is not None,
        )

    # --- names ---

    def _find_prefix(self) -> str:
        first = f"{self.layout.block.format(0)}{self.layout.W_out}.weight"
        for prefix in PREFIXES:
            if f"{prefix}{first}" in self.files.tensors:
                return prefix
        raise NotInFilesError(f"it has no tensor named like {first}")

    def _find_head(self) -> str:
        own = f"{self.layout.head}.weight"
        if own in self.files.tensors:
            return own
        if not self._is_tied:
            raise NotInFilesError(f"it has no {own}")
        return self._named(self.layout.embedding)

    def _named(self, module: str) -> str:
        name = f"{self._prefix}{module}.weight"
        if name not in self.files.tensors:
            raise NotInFilesError(f"it has no {name}")
        return name

    def _norm(self, module: str) -> Floats:
        d_model = self.sizes["d_model"]
        if not self.layout.norms_have_weights:
            return np.ones(d_model, dtype=self.files.number_type)
        weight = self.files.rows(self._named(module))
        if weight.shape != (d_model,):
            raise NotInFilesError(f"{module} has another width")
        return weight + 1 if self.layout.norm_adds_one else weight

    def _require_expected(self) -> None:
        strange = self.layout.strange(self._own, self._prefix, self._config, self.sizes["n_layers"])
        if strange:
            raise NotInFilesError(f"its files hold {strange}")
        for name, tensor in self._own.items():
            if tensor.stored not in FLOATS:
                raise NotInFilesError(f"{name} is stored as {tensor.stored}")

    # --- what the configuration says ---

    @property
    def _is_tied(self) -> bool:
        return bool(self._config.get("tie_word_embeddings", self.layout.tied))

    def _scales(self) -> tuple[float, float]:
        def given(key: str | None) -> float:
            value = 1.0 if key is None else self._config.get(key)
            if not isinstance(value, int | float) or not value:
                raise NotInFilesError(f"its configuration does not give {key}")
            return float(value)

        layout = self.layout
        return given(layout.write_scale), given(layout.logit_scale) / given(layout.logit_divisor)

    def _reads_own_layer(self) -> bool:
        """Whether attention stands before the MLP, not beside it; another wiring is left to loading."""
        said = [not self._config[key] for key in _PARALLEL if key in self._config]
        if self._config.get("new_decoder_architecture"):  # Falcon's, whatever the key says
            said = [False]
        expected = self.family.own_layer
        if expected is None and not said:
            raise NotInFilesError("its configuration does not say whether attention stands beside the MLP")
        if expected is None:
            return said[0]
        if said and said[0] != expected:
            raise NotInFilesError("its attention and MLP are wired unlike its family's")
        return expected

    def _sizes(self) -> dict[str, int]:
        sizes = {}
        for size, keys in SIZE_KEYS.items():
            given = [self._config[key] for key in keys if self._config.get(key) is not None]
            if not given or type(given[0]) is not int:
                raise NotInFilesError(f"its configuration does not give {keys[0]}")
            sizes[size] = given[0]
        sizes["n_ctx"] = self._context_length(sizes["n_ctx"])
        sizes["d_vocab"], width = self.files.matrix(self.head)
        project = self._project_out
        inner, sizes["d_model"] = (width, width) if project is None else self.files.matrix(project)
        if inner != width:
            raise NotInFilesError(f"{project} has another width than {self.head}")
        for layer in range(sizes["n_layers"]):
            shape = self.files.matrix(self.W_out(layer))
            d_mlp, d_model = shape if self.layout.neurons_in_rows else shape[::-1]
            if d_model != sizes["d_model"] or d_mlp != sizes.setdefault("d_mlp", d_mlp):
                raise NotInFilesError(f"layer {layer} has another width")
        return sizes

    def _context_length(self, n_ctx: int) -> int:
        """How many tokens a text may have: loading.py says why longrope ends it."""
        rotary = self._config.get("rope_scaling") or self._config.get("rope_parameters") or {}
        kinds = {rotary.get("rope_type"), rotary.get("type")} if isinstance(rotary, dict) else set()
        # Phi 3's files have names of older days for it.
        ending = {"longrope", "su", "yarn"} if self._config["model_type"] == "phi3" else {"longrope"}
        if not kinds & ending:
            return n_ctx
        key = "original_max_position_embeddings"
        original = rotary.get(key, self._config.get(key))
        if type(original) is not int:
            raise NotInFilesError(
                "its rotary embedding changes at a length that its configuration does not give"
            )
        return min(n_ctx, original)

    def _count_parameters(self) -> int:
        """How many there are once it is loaded: transformers ties a head that has the embedding's values."""
        count = sum(tensor.numbers for tensor in self._own.values())
        embedding = f"{self._prefix}{self.layout.embedding}.weight"
        if not self._is_tied or self.head == embedding or embedding not in self._own:
            return count
        head, files = self._own[self.head], self.files
        if self._own[embedding].shape != head.shape:
            raise NotInFilesError(f"{self.head} has another shape than {embedding}")
        same = all(
            np.array_equal(block, files.rows(embedding, rows.start, rows.stop))
            for rows, block in files.blocks(self.head, BLOCK_NUMBERS)
        )
        return count - same * head.numbers
