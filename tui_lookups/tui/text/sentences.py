"""What each action does, as a sentence that a person would type to find it; and why it does nothing here.

An action without a sentence of its own is named by the tip of its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.binding import Binding

    from tui_lookups.tui.state.walk import Walk

SENTENCES: Mapping[str, str] = {
    "all-heads.close": "Go back to the walk; a run goes on",
    "all-heads.copy": "Copy this explanation",
    "all-heads.explain": "Explain all these heads",
    "all-heads.open": "Go to this head",
    "all-heads.score": "Explain and score all these heads",
    "all-heads.stop": "Stop the run and keep its answers",
    "ablation.close": "Close the ablation",
    "ablation.mark": "Mark this ablation for an export",
    "ablation.method": "Ablate with zero, the mean, or another prompt's output",
    "ablation.positions": "Ablate at the peak only, or at every position",
    "app.basket": "List what is marked, and remove from it",
    "app.export": "Export what is marked as JSON",
    "app.help": "Show the keys that work here",
    "app.open": "Open an export and mark what it holds",
    "app.plain": "Switch plain text for a screen reader on or off",
    "app.quit": "Quit the program",
    "app.redraw": "Paint the screen anew",
    "app.theme": "Change the colours: dark, light, the terminal's own",
    "app.words-down": "Scroll down in the explanation",
    "app.words-up": "Scroll up in the explanation",
    "atlas.close": "Close the atlas",
    "atlas.layer": "Show the neurons of this layer",
    "atlas.layers": "Go back to the layers",
    "atlas.open": "Open this neuron and its token",
    "atlas.swap": "Go to the other list",
    "basket.close": "Close the list of what is marked",
    "basket.export": "Export what is marked as JSON",
    "basket.open": "Go to this marked thing",
    "basket.remove": "Take this out of what is marked",
    "components.open": "Go on with this neuron or head, on this text",
    "components.view": "Show the sum by size, by layer, or in groups",
    "detail.heads": "Go back to the heads",
    "detail.open": "Show this source token in its prompt",
    "diff.back": "Go back to the neurons that moved",
    "diff.choose": "Compare with another model",
    "diff.close": "Close the comparison",
    "diff.export": "Write this list to a file",
    "diff.go": "Go on with this neuron in the walk",
    "diff.head": "Go on with this head behind the neuron",
    "diff.mark": "Mark this neuron",
    "diff.open": "Show this neuron in both models",
    "diff.prompt": "Go on with the neuron on this text",
    "diff.run": "Run both models over the corpus",
    "diff.stop": "Stop what is under way",
    "diff.swap": "Go to the other list",
    "diff.view": "Compare by weights, or by activations",
    "explained.close": "Close the explanations",
    "explained.copy": "Copy this explanation",
    "explained.open": "Go to this neuron and head",
    "explained.scope": "Show all explanations, or those of what is marked",
    "explained.search": "Search the explanations",
    "head.ablate": "Ablate this head: see its total effect",
    "head.all_heads": "Explain and score every head worth explaining",
    "head.explain": "Ask a language model when this head is active",
    "head.score": "Score this explanation on held-out prompts",
    "head.write": "Write an explanation of your own",
    "heads.all": "Switch between this prompt's heads and the mean over all prompts",
    "heads.back": "Go to the next larger head",
    "heads.context": "Switch between the full window and the trimmed prompt",
    "heads.direction": "Read the heads by gate, up or both",
    "heads.first": "Go to the first head",
    "heads.last": "Go to the last head",
    "heads.next": "Go to the next smaller head",
    "heads.open": "Open this head: which tokens it reads from",
    "heads.view": "Show the heads as a grid or as a list",
    "inputs.all": "Switch between this text's inputs and the mean over all prompts",
    "inputs.close": "Close the inputs",
    "inputs.swap": "Go to the other list",
    "layers.open": "Go to the largest component of this layer",
    "list.first": "Go to the first row",
    "list.last": "Go to the last row",
    "list.open": "Open this row",
    "list.sort": "Sort the list by its next column",
    "neurons.layer": "Show only the neurons of the next layer",
    "neurons.layer-back": "Show only the neurons of the layer before",
    "neurons.open": "Open this neuron: the prompts that fire it",
    "neurons.own": "Show only next-token neurons of this token",
    "neurons.right": "Go on to the prompts of this neuron",
    "next.foil": "Ask why not this token instead",
    "next.open": "Ask why this token is expected",
    "next.rows": "Go to the components of the logit",
    "playground.close": "Close the playground",
    "playground.heads": "Open the heads behind the peak of this text",
    "playground.look": "Go to the figures of this text",
    "playground.pin": "Pin this text below the next ones",
    "playground.unpin": "Forget the pinned texts",
    "prompts.find": "Search these prompts, or the whole corpus, for a text",
    "prompts.first": "Go to the first prompt",
    "prompts.kind": "Show other prompts: the highest, random ones, each decile",
    "prompts.last": "Go to the last prompt",
    "prompts.match": "Go to the next place where the text is found",
    "prompts.match-back": "Go to the place before where the text is found",
    "prompts.more": "Show closed prompts in one line or four",
    "prompts.next": "Go to the next prompt",
    "prompts.open": "Open the heads of this prompt",
    "prompts.page-down": "Go ten prompts on",
    "prompts.page-up": "Go ten prompts back",
    "prompts.peak": "Put the token cursor back on the peak",
    "prompts.previous": "Go to the prompt before",
    "prompts.token-left": "Go to the token before",
    "prompts.token-right": "Go to the next token",
    "revisions.choose": "Name other revisions",
    "revisions.close": "Close the revisions",
    "revisions.export": "Write this table to a file",
    "revisions.open": "Compare the open model with this revision",
    "revisions.run": "Scan the corpus at each revision: peaks and heads",
    "revisions.stop": "Stop what is under way",
    "search.ask": "Search the corpus for this text",
    "search.close": "Stop the search, or close it",
    "search.open": "Open this text with the neuron",
    "search.rows": "Go to what was found",
    "search.type": "Search for another text",
    "survey.export": "Write the survey's report and tables to a folder",
    "token.enter": "Open the marked row",
    "token.leave": "Leave the token as it was",
    "token.playground": "Try the neuron on the text typed here",
    "token.why": "Ask why a token is expected after the text typed here",
    "walk.after": "Go forward to where you came back from",
    "walk.atlas": "Open the atlas of next-token neurons",
    "walk.back": "Go back to the pane before",
    "walk.before": "Go back to the token and neuron before",
    "walk.copy": "Copy what is under the cursor",
    "walk.copy-command": "Copy this pane as a command line",
    "walk.copy-notebook": "Copy this pane as Python for a notebook",
    "walk.copy-pane": "Copy the list as a table",
    "walk.detail": "Go to the detail of the head",
    "walk.diff": "Compare the open model with another one",
    "walk.explained": "List everything explained so far",
    "walk.figure": "Write what this pane shows as a figure for a paper (SVG)",
    "walk.filter": "Filter the neurons by text",
    "walk.heads": "Open the heads of the neuron",
    "walk.heads-pane": "Go to the heads",
    "walk.inputs": "Show what fires this neuron: its inputs",
    "walk.larger": "Make this pane larger",
    "walk.mark": "Mark what is under the cursor",
    "walk.neurons": "Go to the neurons",
    "walk.next-pane": "Go to the next pane",
    "walk.pane-back": "Go to the pane before",
    "walk.playground": "Try this neuron on any text: the playground",
    "walk.prompts": "Go to the prompts",
    "walk.restore": "Go back to where the last session ended",
    "walk.revisions": "Follow this neuron over revisions of the model",
    "walk.rooms": "Make the panes as large as they were at first",
    "walk.shared-heads": "Show the heads that serve the marked neurons",
    "walk.smaller": "Make this pane smaller",
    "walk.token": "Open a token, a neuron or a head by its name",
    "walk.search": "Search all texts of the corpus",
    "walk.tour": "Take the tour in five steps",
    "walk.why": "Ask why a token is expected here or in any text",
    "walk.zoom": "Show this pane alone, or all panes again",
    "why.any-foil": "Ask why not another token: type it",
    "why.before": "Ask at the token before",
    "why.close": "Close why this token",
    "why.mean": "Remove this component: its mean in its place",
    "why.on": "Ask at the next token of the text",
    "why.remove": "Remove this component: zero in its place",
    "why.text": "Ask about another text",
    "why.token": "Ask about any token: type it",
    "why.tokens": "Go to the next tokens",
}

MOVES = frozenset(
    ["list.up", "list.down", "list.first", "list.last", "list.page-up", "list.page-down"]
    + ["heads.up", "heads.down", "heads.left", "heads.right", "heads.first", "heads.last"]
    + [f"prompts.{name}" for name in ("next", "previous", "first", "last", "page-up", "page-down")]
    + ["prompts.token-left", "prompts.token-right", "token.up", "token.down"]
)
"""Actions that only move a cursor: nobody looks for these first."""


def sentence_of(binding: Binding) -> str:
    """What the action of a binding does."""
    return SENTENCES.get(binding.id or "", binding.tooltip or binding.description)


_OF_A_NEURON = frozenset(["walk.playground", "walk.inputs", "walk.revisions", "head.all_heads"])
_OF_A_PROMPT = frozenset(["walk.inputs", "prompts.find", "prompts.peak", "prompts.open"])
_OF_A_HEAD = frozenset(["head.ablate", "head.explain", "head.score", "head.write"])


def why_not(action: str, walk: Walk, *, marked: int, before: bool, after: bool) -> str:
    """Why an action would do nothing where the walk stands; empty where it does something.

    Args:
        marked: how many things are marked.
        before, after: whether there is a place to go back and forward to.
    """
    if action in _OF_A_HEAD and walk.head is None:
        return "no head is open"
    if action in _OF_A_NEURON and walk.neuron is None:
        return "no neuron is open"
    if action in _OF_A_PROMPT and walk.prompt is None:
        return "no prompt is open"
    if action == "app.export" and not marked:
        return "nothing is marked"
    if action == "walk.before" and not before:
        return "this is where the walk began"
    if action == "walk.after" and not after:
        return "there is nothing to go forward to"
    if action == "heads.direction" and walk.gated is False:
        return "the model's MLPs are not gated"
    return ""
