"""One question at several revisions of a model: branches, tags or commits of it on the hub.

1. `Revisions` refuses models that can have none. Before the first is opened, every revision has to be in the
   local cache or, unless the tool is offline, on the hub: a mistyped one is told before hours of scanning.
2. The last one is opened first: it says which neurons, or which token, are followed through the others.
3. Each is a model of its own, with its own fingerprint, index and cached answers, asked through an Explorer
   that is closed before the next is opened: one of them is in memory at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TypeVar

from tui_lookups.errors import LookupsError, ModelLoadError, UnknownTokenError
from tui_lookups.progress import Progress, heard_by, listener
from tui_lookups.results import (
    HeadAtRevision,
    NeuronAtRevision,
    NeuronOverRevisions,
    NeuronsAtRevision,
    NeuronsOverRevisions,
    Token,
)

if TYPE_CHECKING:
    from tui_lookups.explorer.walk_questions import WalkQuestions
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import Firing, NeuronTokens, Provenance, TokenNeurons
    from tui_lookups.settings import Settings

First = TypeVar("First")
Each = TypeVar("Each")

Open = Callable[[str, int], AbstractContextManager["WalkQuestions"]]
"""Opens the model at a revision, the n-th (from 1) that is opened, and closes it where the `with` ends."""


def revisions_named(text: str) -> tuple[str, ...]:
    """The revisions of a text that has commas between them."""
    return tuple(name.strip() for name in text.split(","))


def beside(
    open_model: Callable[[Settings], WalkQuestions], settings: Settings, names: tuple[str, ...]
) -> Revisions:
    """Revisions of the model of these settings, each opened with them beside whatever is open.

    Which one is open, and how far its own work is, is told to whoever listens. Raises as `Revisions` does.
    """
    from msgspec import structs

    model = settings.model.partition("@")[0]

    @contextmanager
    def open_at(revision: str, number: int) -> Iterator[WalkQuestions]:
        hear, whole = listener(), Progress(revision, stage=number, stages=len(names))
        explorer = open_model(structs.replace(settings, model=f"{model}@{revision}"))
        hear(whole)
        try:
            with heard_by(lambda part: hear(part.within(whole))):
                yield explorer
        finally:
            explorer.close()

    return Revisions(model, names, open_at, offline=settings.offline)


_WRITE = "Write --model OWNER/NAME --revisions step0,step512,main."


class Revisions:
    """Several revisions of one hub model, in the order of their names."""

    def __init__(self, model: str, names: tuple[str, ...], open_at: Open, *, offline: bool = False) -> None:
        """No model is opened yet.

        Args:
            model: a hub name without a revision.
            names: of branches, tags or commits; the last one says what is followed.
            offline: nothing can be fetched.
        Raises:
            LookupsError: fewer than two names, one twice, or a model that has no revisions.
            ModelLoadError: one of them is neither in the local cache nor, unless offline, on the hub.
        """
        from tui_lookups.model.sources import in_hub_cache, is_offline, may_have_revisions, require_on_hub

        if len(names) < 2 or not all(names) or len(set(names)) != len(names):
            raise LookupsError("Two revisions or more are named, each once, with commas between.", _WRITE)
        if not may_have_revisions(model):
            raise LookupsError(f"{model} is not a model of the hub, named without a revision.", _WRITE)
        missing = [name for name in names if not in_hub_cache(f"{model}@{name}")]
        if missing and is_offline(offline):
            raise ModelLoadError(
                f"{model}@{missing[0]} is not in the local Hugging Face cache, and the tool is offline.",
                f"Fetch it where there is a network, or leave out of --revisions: {', '.join(missing)}.",
            )
        for name in missing:
            require_on_hub(f"{model}@{name}")
        self._names = names
        self._open_at = open_at

    def neurons(self, token: str, *, top: int = 50, next_token_only: bool = False) -> NeuronsOverRevisions:
        """The neurons of largest congruence with a token at the last revision, and what they are at each.

        See `Explorer.neurons`, and method.md, section 2.
        """

        def rank(explorer: WalkQuestions) -> TokenNeurons:
            return explorer.neurons(token, top=top, next_token_only=next_token_only)

        def follow(explorer: WalkQuestions, revision: str, ranking: TokenNeurons) -> NeuronsAtRevision:
            here = _same_token(explorer, revision, ranking.token)
            scores = explorer.scores([row.neuron for row in ranking.neurons], here)
            return NeuronsAtRevision(revision, explorer.model_fingerprint(), here, scores)

        ranking, by_revision = self._each(rank, follow)
        return NeuronsOverRevisions(
            ranking.token, ranking.basis, ranking.sign, by_revision, ranking.provenance
        )

    def neuron(
        self,
        neuron: NeuronId,
        *,
        token: str | None = None,
        prompts: bool = False,
        text: str | None = None,
        trimmed: bool | None = None,
    ) -> NeuronOverRevisions:
        """One neuron at each revision: what it writes, how high it fires, and the heads that fire it.

        See method.md, sections 2 to 4.

        Args:
            token: followed through all of them; by default the one that the neuron promotes most at the last.
            prompts: its peak over the corpus, which is scanned at each revision unless it was before, and the
                means of the heads over its prompts.
            text: the same on a text instead.
            trimmed: with `prompts`: over trimmed ones; see `Explorer.heads_overview`.
        """

        def begin(explorer: WalkQuestions) -> tuple[NeuronTokens, Token]:
            promoted = explorer.tokens(neuron, top=1)
            best = promoted.tokens[0]
            if token is None:
                return promoted, Token(best.id, best.text)
            return promoted, explorer.neurons(token, top=1).token

        def follow(
            explorer: WalkQuestions, revision: str, begun: tuple[NeuronTokens, Token]
        ) -> tuple[NeuronAtRevision, Provenance]:
            promoted, followed = begun
            here = _same_token(explorer, revision, followed)
            score = explorer.score(neuron, here)
            provenance = promoted.provenance
            peak: float | None = None
            heads: tuple[HeadAtRevision, ...] = ()
            if text is not None:
                on_text = explorer.heads(neuron, text=text)
                peak = on_text.activation
                heads = tuple(HeadAtRevision(row.head, row.attribution) for row in on_text.heads)
                provenance = on_text.provenance
            elif prompts:
                overview = explorer.heads_overview(neuron, trimmed=trimmed)
                listed = explorer.prompts(neuron, top=1, trim=False).prompts
                peak = listed[0].peak.activation if listed else None
                heads = tuple(HeadAtRevision(row.head, row.mean_attribution) for row in overview.heads)
                provenance = overview.provenance
            row = NeuronAtRevision(
                revision, explorer.model_fingerprint(), here, score.congruence, score.cosine,
                score.token_rank, score.top_token, score.top_congruence, peak, heads,
            )  # fmt: skip
            return row, provenance

        (promoted, followed), by_revision = self._each(begin, follow)
        rows, provenances = zip(*by_revision, strict=True)
        firing: Firing | None = "text" if text is not None else "prompts" if prompts else None
        return NeuronOverRevisions(neuron, followed, promoted.basis, firing, rows, provenances[-1])

    def _each(
        self, begin: Callable[[WalkQuestions], First], follow: Callable[[WalkQuestions, str, First], Each]
    ) -> tuple[First, tuple[Each, ...]]:
        """What the last revision begins with, and what follows from it at each, in the order of the names."""
        begun: list[First] = []
        answers: dict[str, Each] = {}
        for number, name in enumerate((self._names[-1], *self._names[:-1]), 1):
            with self._open_at(name, number) as explorer:
                if not begun:
                    begun.append(begin(explorer))
                answers[name] = follow(explorer, name, begun[0])
        return begun[0], tuple(answers[name] for name in self._names)


def _same_token(explorer: WalkQuestions, revision: str, token: Token) -> Token:
    """The token of this text at another revision: by its id, else by its text.

    Raises UnknownTokenError: there is none.
    """
    try:
        of_id = explorer.resolve_token(f"#{token.id}").token
    except UnknownTokenError:  # a smaller vocabulary
        of_id = None
    same = (
        of_id if of_id is not None and of_id.text == token.text else explorer.resolve_token(token.text).token
    )
    if same is None:
        raise UnknownTokenError(
            f"{json.dumps(token.text, ensure_ascii=False)} is not in the vocabulary of {revision}.",
            "Leave that revision out, or follow another token.",
        )
    return same
