"""The decomposition line closes on screen, and heads are told in figures."""

from __future__ import annotations

from dataclasses import replace

from tests.tui.canned import MODEL, CannedExplorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.tui.text.attribution import (
    decomposition,
    direction_share,
    head_facts,
    overview_facts,
    silence,
    why_no_head,
)
from tui_lookups.tui.text.explanation import before_and_after

NEURON = NeuronId(3, 5)


def test_the_line_names_every_component_and_the_rest() -> None:
    heads = CannedExplorer().heads(NEURON, prompt=1)
    parts = decomposition(replace(heads, remainder=-0.25))
    assert [part.split()[0] for part in parts] == ["heads", "mlps", "embed", "attn-bias", "bias", "="]
    shown = [float(part.split()[1]) for part in parts[:-1]]
    assert abs(sum(shown) - heads.sum) < 0.03
    assert parts[-1].endswith(f"(pre-activation {heads.target.value:.2f}, rest -0.25)")


def test_what_the_heads_come_to_in_one_direction() -> None:
    heads = CannedExplorer(model=replace(MODEL, gated=True)).heads(NEURON, prompt=1)
    for direction, share in (("gate", 0.6), ("up", 0.4)):
        total = share * sum(row.attribution for row in heads.heads)
        assert direction_share(heads, direction) == (f"grid: by {direction}, heads {total:+.2f}",)  # type: ignore[arg-type]
    assert direction_share(heads, "both") == ()


def test_what_rounds_to_nothing_has_no_minus() -> None:
    heads = CannedExplorer().heads(NEURON, prompt=1)
    heads = replace(heads, activity_threshold=-0.001, target=replace(heads.target, value=-0.001), sum=-0.001)
    said = (*decomposition(heads), *head_facts(HeadId(3, 2), heads, None))
    assert not [text for text in said if "-0.00" in text]


def test_a_text_that_does_not_fire_the_neuron_is_said_to() -> None:
    explorer = CannedExplorer()

    def said(*values: float, gated: bool = False, known: float = 5.84) -> str:
        found = explorer.activations(NEURON, "a b")
        model = replace(MODEL, gated=gated)
        provenance = replace(found.provenance, model=model)
        return " ".join(silence(replace(found, activations=values, provenance=provenance), known))

    assert said(9.0, -0.001, -0.1) == ("This text does not fire L3.N5: peak 0.00, maximum in the corpus 5.84")
    assert said(0.0, 0.3, -0.1).startswith("This text hardly fires L3.N5: peak 0.30, maximum")
    assert said(0.0, 0.6, -0.1) == ""
    assert said(0.0, -4.0, 0.1).startswith("This text hardly fires")
    assert said(0.0, -4.0, 0.1, gated=True) == "", "a gated neuron fires below zero, too"
    assert said(0.0, -0.2, known=0.0) == "This text does not fire L3.N5: peak -0.20"
    assert said(0.0, 0.2, known=0.0) == "", "there is nothing to compare with"


def test_facts_of_a_head() -> None:
    explorer = CannedExplorer()
    heads = explorer.heads(NEURON, prompt=1)
    facts = head_facts(HeadId(3, 2), heads, explorer.heads_overview(NEURON))
    assert facts[0].startswith("+1.92 of ")
    assert "direct" in facts[0]
    assert facts[1].startswith("active")
    assert any(" of 20" in fact for fact in facts)


def test_a_head_that_does_not_reach_the_neuron() -> None:
    explorer = CannedExplorer()
    heads = explorer.heads(NEURON, prompt=1)
    assert "does not reach" in head_facts(HeadId(4, 0), heads, None)[0]
    assert "does not reach" in overview_facts(HeadId(4, 0), explorer.heads_overview(NEURON))[0]


def test_a_head_of_the_own_layer_says_the_true_reason() -> None:
    own, later = HeadId(3, 1), HeadId(4, 0)
    beside = replace(MODEL, own_layer=False)
    assert why_no_head(MODEL, NEURON, own) == ""
    assert why_no_head(MODEL, NEURON, HeadId(2, 1), "paper") == ""
    assert "beside the MLP" in why_no_head(beside, NEURON, own)
    assert "Preset paper leaves out" in why_no_head(MODEL, NEURON, own, "paper")
    assert "beside the MLP" in why_no_head(beside, NEURON, own, "paper"), "no preset would bring it back"
    assert "writes after the neuron has read" in why_no_head(beside, NEURON, later)

    explorer = CannedExplorer()
    heads, overview = explorer.heads(NEURON, prompt=1), explorer.heads_overview(NEURON)
    provenance = heads.provenance
    for other, reason in (
        (replace(provenance, model=beside), "It runs beside the neuron's MLP."),
        (replace(provenance, parameters={"preset": "paper"}), "Preset paper: no own-layer heads"),
    ):
        on_one = replace(heads, heads=tuple(h for h in heads.heads if h.layer < 3), provenance=other)
        over_all = replace(overview, heads=tuple(h for h in overview.heads if h.layer < 3), provenance=other)
        assert head_facts(own, on_one, None)[1] == reason
        assert overview_facts(own, over_all)[1] == reason
        assert head_facts(later, on_one, None)[1] == "It runs after the neuron's MLP."


def test_gated_models_show_both_shares() -> None:
    heads = CannedExplorer(model=replace(MODEL, gated=True)).heads(NEURON, prompt=1)
    facts = head_facts(HeadId(3, 2), heads, None)
    assert "by gate +1.15, by up +0.77" in facts


def test_an_ablation_has_a_bar_before_and_one_after() -> None:
    ablation = CannedExplorer().ablate(NEURON, HeadId(1, 1))
    one = replace(ablation.prompts[0], sign=-1, activation_before=-2.0, activation_after=-0.5)
    both = replace(ablation, prompts=(one, replace(one, activation_after=1.5)))
    assert [line.text for line in before_and_after(both, 8)] == [
        "with it       2.00 ████████",
        "without it   -0.50 ▒▒",
    ]
    nothing = replace(one, activation_before=-0.001, activation_after=0.002)
    assert not [
        line for line in before_and_after(replace(ablation, prompts=(nothing,)), 8) if "▒" in line.text
    ]
    assert before_and_after(replace(ablation, prompts=()), 8) == ()
