"""Traces outside: the graph file, the page, a document that is verified, and the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import Shell
from tui_lookups.commands import invocation
from tui_lookups.errors import ExportError, LookupsError
from tui_lookups.explorer import Explorer
from tui_lookups.exports import verifying
from tui_lookups.exports.graph_file import REQUIRED, as_graph_file, read_graph, write_graph
from tui_lookups.exports.origin import OtherSourceError
from tui_lookups.exports.trace_page import page, write_page
from tui_lookups.ids import NeuronId
from tui_lookups.results import Token, Trace, TraceGraph
from tui_lookups.settings import load_settings
from tui_lookups.storage.codec import document
from tui_lookups.tui.state.trace_tree import TraceTree

TEXT = '"How long have'
NEURON = NeuronId(5, 531)

pytestmark = pytest.mark.usefixtures("once_loaded")


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory, once_loaded: None) -> Iterator[Explorer]:
    opened = Explorer(load_settings(model="demo", cache_dir=tmp_path_factory.mktemp("cache")))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def trace(explorer: Explorer) -> Trace:
    return explorer.trace(TEXT, depth=3, width=4)


@pytest.fixture(scope="module")
def graph(explorer: Explorer) -> TraceGraph:
    return explorer.trace_graph(TEXT, nodes=25)


class TestGraphFile:
    def test_it_has_what_the_published_schemas_ask_for(self, graph: TraceGraph) -> None:
        """Of circuit-tracer's models and of Neuronpedia's schema of attribution graphs."""
        plain = as_graph_file(graph)
        assert list(plain) == ["metadata", "qParams", "nodes", "links"]
        for part, keys in REQUIRED.items():
            for each in plain[part] if isinstance(plain[part], list) else [plain[part]]:
                assert set(keys) <= set(each)
        meta = plain["metadata"]
        assert meta["prompt_tokens"] == [token.text for token in graph.tokens]
        assert meta["prompt"] == "".join(meta["prompt_tokens"])
        assert re.fullmatch(r"[a-z0-9-]+", meta["slug"])
        kinds = {
            "node_id": str, "feature": int, "layer": str, "ctx_idx": int, "feature_type": str,
            "token_prob": float, "is_target_logit": bool, "run_idx": int, "reverse_ctx_idx": int,
            "jsNodeId": str, "clerp": str,
        }  # fmt: skip
        for node in plain["nodes"]:
            assert all(type(node[key]) is kind for key, kind in kinds.items())
            assert node["influence"] is None or 0 <= node["influence"] <= 1 + 1e-9
            assert node["feature_type"] in {"logit", "embedding", "cross layer transcoder"}
        json.dumps(plain, allow_nan=False)

    def test_names_are_taken_apart_as_theirs(self, graph: TraceGraph) -> None:
        plain = as_graph_file(graph)
        names = [node["node_id"] for node in plain["nodes"]]
        assert len(set(names)) == len(names)
        assert len({node["jsNodeId"] for node in plain["nodes"]}) == len(names)
        logit, *rest = plain["nodes"]
        assert logit["is_target_logit"]
        assert logit["token_prob"] == graph.root.probability
        assert logit["feature"] == graph.root.token.id
        assert logit["clerp"].startswith('Output " you" (p=0.')
        assert plain["qParams"]["clickedId"] == logit["node_id"], "what it is made of is shown at first"
        d_mlp = graph.provenance.model.d_mlp
        for node, ours in zip(rest, graph.nodes[1:], strict=True):
            layer, index, position = node["node_id"].split("_")
            assert int(position) == ours.position == node["ctx_idx"]
            if ours.kind == "embedding":
                assert (layer, int(index)) == ("E", graph.tokens[ours.position].id)
                continue
            assert layer == node["layer"]
            name = f"L{layer}.N{index}" if int(index) < d_mlp else f"L{layer}.H{int(index) - d_mlp}"
            assert name == ours.component == node["clerp"]
        ids = {ours.id: node["node_id"] for node, ours in zip(plain["nodes"], graph.nodes, strict=True)}
        assert [(link["source"], link["target"], link["weight"]) for link in plain["links"]] == [
            (ids[edge.source], ids[edge.target], edge.contribution) for edge in graph.edges
        ]

    def test_it_is_read_back(self, explorer: Explorer, graph: TraceGraph, tmp_path: Path) -> None:
        assert read_graph(write_graph(graph, tmp_path / "graph.json")) == graph
        of_neuron = explorer.trace_graph(TEXT, neuron=NEURON, nodes=5)
        assert read_graph(write_graph(of_neuron, tmp_path / "neuron.json")) == of_neuron
        root = as_graph_file(of_neuron)["nodes"][0]
        assert root["clerp"] == f'Output "{NEURON}" (p=)', "without (p= front ends stop"

    def test_another_file_is_refused(self, graph: TraceGraph, tmp_path: Path) -> None:
        path = tmp_path / "graph.json"
        plain = as_graph_file(graph)
        foreign: dict[str, Callable[[], object]] = {
            "metadata has no slug": lambda: plain["metadata"].pop("slug"),
            "nodes has no clerp": lambda: plain["nodes"][3].pop("clerp"),
            "written by another program": lambda: plain["metadata"].pop("lookups_tui"),
        }
        for said, change in foreign.items():
            plain = as_graph_file(graph)
            change()
            path.write_text(json.dumps(plain), encoding="utf-8")
            with pytest.raises(ExportError, match=said):
                read_graph(path)
        path.write_text("[]", encoding="utf-8")
        with pytest.raises(ExportError, match="no JSON object"):
            read_graph(path)


class Page(HTMLParser):
    """The figures of a page, the tags in it, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.values: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "data":
            self.values.append(str(dict(attrs)["value"]))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


class TestPage:
    def test_its_figures_are_those_of_the_json(self, trace: Trace) -> None:
        shown = Page(page(trace))
        figures: list[str] = []

        def walk(node: dict[str, Any]) -> None:
            figures.append(repr(node["contribution"]))
            figures.extend(repr(node[key]) for key in ("activation", "weight") if node[key] is not None)
            for child in trace.children(node["id"]):
                walk(plain[child.id])
            if node["rest"] is not None and node["rest"]["parts"]:
                figures.append(repr(node["rest"]["contribution"]))

        written = json.loads(json.dumps(document(trace)))
        plain = {node["id"]: node for node in written["nodes"]}
        walk(written["nodes"][0])
        figures += [repr(value) for value in written["conserved"].values()]
        assert shown.values == figures
        ids = [attrs["id"] for tag, attrs in shown.tags if tag in ("details", "div") and "id" in attrs]
        assert sorted(map(str, ids)) == sorted(plain)
        data = next(text for text in shown.texts if text.startswith("{"))
        assert json.loads(data) == written

    def test_opened_node_by_node_in_the_app_it_has_the_same_figures(self, explorer: Explorer) -> None:
        tree = TraceTree.of(explorer.trace(TEXT, depth=1, width=3))
        for part in tree.parts("root"):
            if part.openable:
                tree = tree.grown(explorer.trace(TEXT, node=part.id, depth=1, width=3))
        whole = explorer.trace(TEXT, depth=2, width=3)
        plain = json.loads(json.dumps(document(whole)))
        of_json = {node["id"]: node for node in plain["nodes"]}
        of_page = dict(re.findall(r'id="(root[^"]*)".*?value="([^"]*)"', page(whole)))
        assert {row.node.id for row in tree.rows} == set(of_json) == set(of_page)
        for row in tree.rows:
            node = of_json[row.node.id]
            if row.rest is not None:
                assert (row.rest.contribution, row.rest.parts) == pytest.approx(
                    (node["rest"]["contribution"], node["rest"]["parts"]), abs=1e-5
                )
            else:
                figures = [row.contribution, row.node.share]
                assert figures == pytest.approx([node["contribution"], node["share"]], abs=1e-5)
                assert row.contribution == pytest.approx(float(of_page[row.node.id]), abs=1e-5)
        found = [getattr(tree.shown, name) for name in plain["conserved"]]
        assert found == pytest.approx(list(plain["conserved"].values()), abs=1e-4)

    def test_it_needs_nothing_else(self, trace: Trace) -> None:
        text = page(trace)
        shown = Page(text)
        assert all(
            not {"src", "href", "srcset", "style", "onclick"} & attrs.keys() for _, attrs in shown.tags
        )
        assert {tag for tag, _ in shown.tags}.isdisjoint({"link", "img", "iframe", "object", "base"})
        scripts = [attrs for tag, attrs in shown.tags if tag == "script"]
        assert scripts == [{"type": "application/json", "id": "trace"}]
        assert "default-src 'none'" in text
        assert "http://" not in text
        assert "https://" not in text
        assert "url(" not in text

    def test_texts_are_no_markup(self, trace: Trace) -> None:
        hostile = "</script><b onclick=x>\x1b[2J\u202e&"
        tokens = (*trace.tokens[:-1], Token(3, hostile))
        root = replace(trace.root, token=Token(3, hostile))
        changed = replace(trace, tokens=tokens, root=root)
        text = page(changed)
        assert "<b onclick" not in text
        assert not set("\x1b\u202e") & set(text)
        assert text.count("</script>") == 1
        data = next(found for found in Page(text).texts if found.startswith("{"))
        assert json.loads(data)["tokens"][-1]["text"] == hostile

    def test_it_is_written_whole_and_replaces_nothing_unasked(self, trace: Trace, tmp_path: Path) -> None:
        path = write_page(trace, tmp_path / "trace.html")
        assert path.read_text(encoding="utf-8") == page(trace)
        with pytest.raises(ExportError, match="exists already"):
            write_page(trace, path)
        write_page(trace, path, overwrite=True)


class TestVerify:
    @pytest.fixture
    def path(self, trace: Trace, tmp_path: Path) -> Path:
        path = tmp_path / "trace.json"
        path.write_text(json.dumps(document(trace)), encoding="utf-8")
        return path

    def change(self, path: Path, *where: Any, value: Any) -> None:
        plain = json.loads(path.read_text(encoding="utf-8"))
        *way, last = where
        place = plain
        for step in way:
            place = place[step]
        place[last] = value
        path.write_text(json.dumps(plain), encoding="utf-8")

    def test_a_trace_agrees(self, explorer: Explorer, trace: Trace, path: Path) -> None:
        found = verifying.verify(explorer, path)
        assert found.agrees
        assert found.checked > 10 * len(trace.nodes)
        assert found.fingerprints.model == trace.provenance.model.fingerprint

    @pytest.mark.parametrize(
        ("where", "value"),
        [
            (("nodes", 3, "contribution"), 0.25),
            (("nodes", 2, "share"), 0.9),
            (("nodes", 1, "position"), 0),
            (("nodes", 0, "rest", "contribution"), 1.0),
            (("conserved", "leaves"), 3.0),
            (("root", "value"), 1.0),
            (("root", "probability"), 0.2),
            (("nodes", 4, "id"), "root/L0.N3"),
        ],
    )
    def test_a_changed_figure_differs(
        self, explorer: Explorer, path: Path, where: tuple[Any, ...], value: Any
    ) -> None:
        self.change(path, *where, value=value)
        found = verifying.verify(explorer, path)
        assert not found.agrees
        assert found.differing[0].where == "/" + "/".join(map(str, where))

    def test_a_corpus_is_no_part_of_it(self, explorer: Explorer, path: Path) -> None:
        with pytest.raises(LookupsError, match="its own tokens"):
            verifying.verify(explorer, path, corpus="demo")

    def test_a_node_that_was_left_out_is_missed(self, explorer: Explorer, trace: Trace, path: Path) -> None:
        plain = json.loads(path.read_text(encoding="utf-8"))
        del plain["nodes"][-1]
        path.write_text(json.dumps(plain), encoding="utf-8")
        (missed,) = verifying.verify(explorer, path).differing
        assert missed.where == "/nodes"

    @pytest.mark.parametrize(
        ("where", "value", "said", "kind"),
        [
            (("schema_version",), 99, "schema version 99", ExportError),
            (("nodes",), [], "no nodes", ExportError),
            (("nodes", 1, "kind"), "ghost", "no trace", ExportError),
            (("provenance", "model", "fingerprint"), "f" * 64, "not the one of the trace", OtherSourceError),
            (("tokens", 1, "text"), "Why", "tokens that the model has not", LookupsError),
            (("nodes", 0, "id"), "root/L9.N1", "no node", LookupsError),
        ],
    )
    def test_what_is_no_trace_of_this_model_is_refused(
        self, explorer: Explorer, path: Path, where: tuple[Any, ...], value: Any, said: str, kind: type
    ) -> None:
        self.change(path, *where, value=value)
        with pytest.raises(kind, match=said):
            verifying.verify(explorer, path)


class TestCommandLine:
    @pytest.fixture
    def shell(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capfdbinary: pytest.CaptureFixture[bytes],
        tmp_path: Path,
        clean_environment: None,
    ) -> Shell:
        made = Shell(capfdbinary)
        monkeypatch.setenv("LOOKUPS_CACHE_DIR", str(tmp_path / "cache"))
        return made

    @pytest.fixture
    def clean_environment(self) -> Iterator[None]:
        """Logging as before once the test is over."""
        import logging

        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        yield
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)

    def test_table_files_and_document(self, shell: Shell, trace: Trace, tmp_path: Path) -> None:
        graph, html = tmp_path / "graph.json", tmp_path / "trace.html"
        asked = ["trace", TEXT, "--depth", "3", "--width", "4"]
        status, table, err = shell(*asked, "--graph", str(graph), "--html", str(html), "--nodes", "9")
        assert status == 0
        assert len(read_graph(graph).nodes) == 10
        assert html.read_text(encoding="utf-8").startswith("<!doctype html>")
        assert "9 components" in err
        assert "lost" in err
        assert len(table.splitlines()) >= len(trace.nodes)
        assert "L5.N531" in table
        status, out, err = shell(*asked, "--json")
        assert (status, err) == (0, "")
        plain = json.loads(out)
        assert {"root", "nodes", "conserved", "tokens", "position", "provenance"} <= set(plain)
        assert {"id", "kind", "component", "position", "contribution", "share", "parent", "rest"} <= set(
            plain["nodes"][0]
        )
        written = tmp_path / "trace.json"
        written.write_text(out, encoding="utf-8")
        status, told, _ = shell("verify", str(written))
        assert (status, "agrees" in told) == (0, True)
        status, _, err = shell(*asked, "--graph", str(graph))
        assert status == 1
        assert "exists already" in err

    def test_a_neuron_and_one_node(self, shell: Shell) -> None:
        status, out, _ = shell(
            "trace", TEXT, "--neuron", "L5.N531", "--node", "root/L2.H0", "--depth", "1", "--json"
        )
        assert status == 0
        assert json.loads(out)["nodes"][0]["id"] == "root/L2.H0"

    @pytest.mark.parametrize(
        "arguments",
        [
            [], [TEXT, "--prompt-id", "3"], [TEXT, "--neuron", "L5.N531", "--token", " you"],
            [TEXT, "--prompt", "2"], ["--prompt-id", "1", "--trimmed"], [TEXT, "--depth", "0"],
        ],
    )  # fmt: skip
    def test_wrong_usage(self, shell: Shell, arguments: list[str]) -> None:
        assert shell("trace", *arguments)[0] == 2


def test_invocation_tells_visibly(capsys: pytest.CaptureFixture[str]) -> None:
    invocation.Invocation().tell("a\x1bb")
    assert capsys.readouterr().err == "a␛b\n"
