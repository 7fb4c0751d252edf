"""Units of a dictionary in the place of a model's MLP neurons (method.md, section 14).

1. The model runs as itself. Where an MLP is given its input, the units' pre-activations and activations are
   worked out beside it, by modules that hooks can be put on: `Block.up`, `.down` and `.activation` are then
   those of the dictionary, and everything that looks at neurons there looks at units.
2. Nothing is worked out in a pass that nobody looks at it in; a layer's matrix is read from its file for the
   product, and let go.
3. What the MLP writes that the units, their bias and the skip do not is the **error** of the layer: the pass
   adds it up by itself, so that it is a component like all others.
4. An activation that a hook replaces changes what the MLP writes by the difference times its row of W_dec;
   skip and error are held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from tui_lookups.model.dictionaries.dictionary import Activation, Dictionary, Place, Transcoder
from tui_lookups.model.norms import Norm
from tui_lookups.model.tensor_files import Floats
from tui_lookups.model.wiring import Beside, Block, Projection, UnitModules, Wiring


@dataclass(frozen=True)
class Placement:
    """Where a layer's tensors are put, and in which number format they are multiplied."""

    device: torch.device
    dtype: torch.dtype

    def tensor(self, values: Floats) -> Tensor:
        return torch.from_numpy(values).to(self.device, self.dtype)


@dataclass(frozen=True, eq=False, kw_only=True)
class _OfDictionary(Projection):
    """A projection whose matrix lies in a file."""

    transcoder: Transcoder
    placement: Placement

    @property
    def dtype(self) -> torch.dtype:
        return self.placement.dtype

    @property
    def device(self) -> torch.device:
        return self.placement.device


class Encoder(_OfDictionary):
    """What units read with: W_enc, [d_model, d_sae]."""

    @property
    def shape(self) -> tuple[int, int]:
        return self.transcoder.d_model, self.transcoder.d_sae

    @property
    def matrix(self) -> Tensor:
        return self.placement.tensor(self.transcoder.encoder())

    def outputs(self, which: Sequence[int]) -> Tensor:
        """See Projection."""
        return self.placement.tensor(self.transcoder.encoder(which))

    @property
    def bias(self) -> Tensor:
        assert isinstance(self.module, _Encode)
        return self.module.bias()


class Decoder(_OfDictionary):
    """What units write with: W_dec, [d_sae, d_model]."""

    @property
    def shape(self) -> tuple[int, int]:
        return self.transcoder.d_sae, self.transcoder.d_model

    @property
    def matrix(self) -> Tensor:
        return self.placement.tensor(self.transcoder.decoder())

    def inputs(self, which: Sequence[int] | slice) -> Tensor:
        """See Projection."""
        return self.placement.tensor(self.transcoder.decoder(which))

    @property
    def bias(self) -> Tensor:
        return self.placement.tensor(self.transcoder.vector("b_dec"))


class _Encode(nn.Module):
    """From what the MLP is given to pre-activations: [..., d_model] to [..., d_sae]."""

    def __init__(self, transcoder: Transcoder, placement: Placement) -> None:
        super().__init__()
        self._transcoder, self._placement = transcoder, placement
        self._bias: Tensor | None = None

    def forward(self, given: Tensor) -> Tensor:
        weight = self._placement.tensor(self._transcoder.encoder())
        return linear(given.to(weight), weight.T, self.bias())

    def bias(self) -> Tensor:
        """[d_sae], kept once it is read."""
        if self._bias is None:
            self._bias = self._placement.tensor(self._transcoder.encoder_bias())
        return self._bias


class UnitActivation(nn.Module):
    """Activations of all units of a layer from their pre-activations: [..., d_sae]."""

    def __init__(self, transcoder: Transcoder, placement: Placement) -> None:
        super().__init__()
        self._transcoder, self._placement = transcoder, placement
        self._thresholds: Tensor | None = None

    @property
    def does(self) -> Activation:
        return self._transcoder.activation

    def forward(self, pre: Tensor, *, in_place: bool = False) -> Tensor:
        """`in_place`: nobody needs the pre-activations any more."""
        if self.does.kind == "relu":
            return pre.relu_() if in_place else pre.relu()
        if self.does.kind == "threshold":
            fails = pre <= self._above()  # NaN passes, and is refused where activations are used
            return pre.masked_fill_(fails, 0.0) if in_place else pre.masked_fill(fails, 0.0)
        values, places = pre.topk(self.does.k, dim=-1, sorted=False)
        values = values.relu() if self.does.rectified else values
        return torch.zeros_like(pre).scatter(-1, places, values)

    def _above(self) -> Tensor:
        """What pre-activations must be above, [d_sae]; kept once it is read."""
        if self._thresholds is None:
            thresholds = self._placement.tensor(self._transcoder.vector("threshold"))
            self._thresholds = thresholds.clamp(min=0) if self.does.rectified else thresholds
        return self._thresholds


class _Watched:
    """Hooks on one block of the model that work its units out where somebody looks at them."""

    def __init__(self, transcoder: Transcoder, placement: Placement) -> None:
        self._transcoder, self._placement = transcoder, placement
        self.encode = _Encode(transcoder, placement)
        self.activation = UnitActivation(transcoder, placement)
        self.activations, self._skip, self._error = nn.Identity(), nn.Identity(), nn.Identity()
        self._explained: Tensor | None = None
        self._change: Tensor | None = None

    @property
    def beside(self) -> dict[Beside, nn.Module]:
        """See UnitModules."""
        skip: dict[Beside, nn.Module] = {"skip": self._skip} if self._transcoder.has_skip else {}
        return skip | {"error": self._error}

    def given(self, read: Tensor) -> None:
        """The MLP is given its input, [..., d_model]; `read` is what of it the transcoder reads."""
        self._explained = self._change = None
        units = (self.encode, self.activations)
        beside = any(map(_has_hooks, (self._skip, self._error)))
        if not beside and not any(map(_has_hooks, units)):
            return
        own = self.activation(self.encode(read), in_place=not _has_hooks(self.encode))
        seen = self.activations(own)  # as hooks leave it
        if seen is not own:
            self._change = seen - own
        if beside:
            placed, transcoder = self._placement.tensor, self._transcoder
            explained = own @ placed(transcoder.decoder()) + placed(transcoder.vector("b_dec"))
            if transcoder.has_skip:
                explained = explained + self._skip(read @ placed(transcoder.skip()).T)
            self._explained = explained

    def wrote(self, output: Tensor) -> Tensor | None:
        """The MLP gives its output, [..., d_model]; returns what takes its place, where an activation was
        replaced."""
        explained, change = self._explained, self._change
        self._explained = self._change = None
        if explained is not None:
            self._error(output.to(explained) - explained)
        changed = [] if change is None else change.flatten(0, -2).abs().amax(0).nonzero()[:, 0].tolist()
        if change is None or not changed:
            return None
        rows = self._placement.tensor(self._transcoder.decoder(changed))
        return output + (change[..., changed] @ rows).to(output)


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def place_of(name: str, wiring: Wiring) -> Place:
    """What of a loaded model decides whether a dictionary fits it."""
    first = wiring.blocks[0]
    norm, n_layers, d_model = first.norms.get("ln2"), len(wiring.blocks), first.down.shape[1]
    return Place(
        name, n_layers, d_model, None if norm is None else "LayerNorm" if norm.centred else "RMSNorm"
    )


def with_units(wiring: Wiring, dictionary: Dictionary, dtype: torch.dtype) -> Wiring:
    """The wiring of a model whose neurons are a dictionary's units; hooks are put on its modules.

    Args:
        dtype: what units are worked out in.
    """
    blocks = (
        _block(block, dictionary, transcoder, dtype)
        for block, transcoder in zip(wiring.blocks, dictionary.layers, strict=True)
    )
    return replace(wiring, blocks=tuple(blocks))


def _block(block: Block, dictionary: Dictionary, transcoder: Transcoder, dtype: torch.dtype) -> Block:
    placement = Placement(block.down.device, dtype)
    watched, norms = _Watched(transcoder, placement), dict(block.norms)
    before: Norm | None = None
    if dictionary.reads == "ln2.hook_normalized":
        before = norms["ln2"] = replace(norms["ln2"], is_weighted=False)
    after = norms.pop("ln2_post", None) if dictionary.writes == "hook_mlp_out" else None
    output = block.down.module if after is None else after.module

    def given(_: nn.Module, arguments: tuple[Tensor, ...], *__: object) -> None:
        read = arguments[0].to(placement.dtype)
        watched.given(read if before is None else before.apply(read))

    def wrote(_: nn.Module, arguments: object, output: Tensor) -> Tensor | None:
        return watched.wrote(output)

    if before is None:
        block.up.module.register_forward_pre_hook(given)
    else:  # behind what hooks see that are put on the norm later, since a pass may end here
        before.module.register_forward_hook(given)
    output.register_forward_hook(wrote)
    return replace(
        block,
        gate=None,
        up=Encoder(watched.encode, transcoder=transcoder, placement=placement),
        down=Decoder(watched.activations, transcoder=transcoder, placement=placement),
        activation=watched.activation,
        norms=norms,
        units=UnitModules(output, watched.beside),
    )
