"""The packaged demo walked by keyboard alone, in tmux: every feature at 80x24, as terminals of today take it.

1. The app runs in a tmux of its own on a scanned demo. Keys go in through `send-keys`, and what the terminal
   shows comes back through `capture-pane`.
2. After every step the terminal shows what the step is about, a key that goes on, and no traceback.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

_PATIENCE_SECONDS = 60.0
_KEYS_LINE = r"\^p all|\besc\b|\benter\b|\bq quit\b"

ENVIRONMENTS = {
    "256 colours": {"TERM": "screen-256color"},
    "16 colours": {"TERM": "xterm-16color"},
    "no colour": {"TERM": "screen-256color", "NO_COLOR": "1"},
}
Step = tuple[str, str]
"""Keys, by tmux's names or as text after `=`; and what is shown then."""

WALK: dict[str, tuple[Step, ...]] = {
    "tour": (
        ("", r"Tour 1/5|L\d\.N\d+"),
        ("Escape", r"L\d\.N\d+ +\d"),
        ("T", r"Tour 1/5.*"),
        ("T T T T", r"Tour 5/5"),
        ("T", r"L\d\.H\d"),
    ),
    "a token": (
        ("1 t", 'a token|Token +"'),
        ("C-u = because", r"␣because +#\d+"),
        ("Enter", r"Token +␣because +#\d+"),
        ("", r"L\d\.N\d+ +\d\.\d\d"),
    ),
    "neurons": (
        ("Down Down", r"L\d\.N\d+"),
        ("o", "own token only"),
        ("o", r"basis folded"),
        ("f", "layers 0"),
        ("F", r"L5\.N\d+"),
        ("/ =L5", "filter L5"),
        ("Enter", "filter L5"),
        ("/ Escape", r"Token +␣because +#\d+(?!.*filter)"),
    ),
    "a typed neuron": (
        ("t C-u =L4.N350", r"L4\.N350"),
        ("Enter", r"2 Prompts of L4\.N350"),
        ("", r"peak at \d+"),
    ),
    "prompts": (
        ("", "at the peak "),
        ("Down", r"prompt 2"),
        ("Up", r"prompt 1"),
        ("Right Right", r"position \d+"),
        ("", r"expects .*%"),
        ("m", "the peak"),
        ("z z", r"peak at"),
        ("K", r"2 Random of"),
        ("", r"peak at"),
        ("K", r"2 Deciles of"),
        ("", r"peak at"),
        ("K", r"2 Prompts of"),
        ("", r"peak at"),
        ("/ =the", r"found .* prompts"),
        ("Enter", r"next, N before"),
        ("n N", r"position \d+"),
        ("Escape", r"position \d+"),
    ),
    "heads": (
        ("Enter", r"heads [+-]\d+\.\d\d  mlps"),
        ("Left Up Right", r"4 L\d\.H\d"),
        ("v", r"rank|head +"),
        ("v", r"H0 +H1"),
        ("a", r"mean direct attribution"),
        ("a", r"heads [+-]\d+\.\d\d  mlps"),
        ("c", r"heads [+-]\d+\.\d\d  mlps"),
        ("c", r"heads [+-]\d+\.\d\d  mlps"),
        ("n", r"4 L\d\.H\d"),
        ("Enter", "enter to the token"),
        ("", r"\n +\d+ +[+-]\d\.\d\d [+.-]"),
        ("Enter", r"position \d+"),
    ),
    "a typed head": (
        ("t C-u =L4.H4", r"L4\.H4"),
        ("Enter", r"4 L4\.H4"),
        ("Escape Escape Escape", r"1 Neurons"),
        ("[", r"L\d\.N\d+"),
        ("]", r"L4\.N350"),
    ),
    "a head in words": (
        ("3 d", r"the total effect"),
        ("", r"before +after"),
        ("Escape", r"H0 +H1"),
        ("E", "When is"),
        ("C-u =reads the word before it", "reads the word before it"),
        ("Enter", "written by hand"),
        ("3 v Home v e", "OPENAI_API_KEY is not set"),
        ("Escape", r"H0 +H1"),
        ("W", r"Heads worth explaining"),
        ("e", "OPENAI_API_KEY is not set|no head to ask"),
        ("Escape", r"H0 +H1|Heads worth"),
        ("Escape 1", r"neuron +congr"),
        ("i", r"Explained so far: 1"),
        ("/ =nothing like it", r"Nothing has all these words"),
        ("Escape", r"Explained so far: 1"),
        ("Escape", r"1 Neurons"),
    ),
    "basket and export": (
        ("1 Space", r"\[1 marked\]"),
        ("2 Space 3 Space", r"\[3 marked\]"),
        ("b", r"Marked"),
        ("d", r"Marked"),
        ("Escape", r"\[2 marked\]"),
        ("x", r"Export"),
        ("C-u =walk.json Enter", "Exported to /"),
        ("O", r"[Oo]pen"),
        ("Escape", r"L4\.N350"),
    ),
    "atlas": (
        ("A", r"Atlas"),
        ("", r"basis folded"),
        ("Down Down Enter", r"L\d\.N\d+"),
        ("Enter", r"2 Prompts of L"),
    ),
    "playground": (
        ("P", r"Playground: L\d\.N\d+"),
        ("=the cat sat on the mat because", r"peak|\d\.\d\d"),
        ("C-n", r"because"),
        ("= of", r" of"),
        ("Enter", r"H0 +H1|heads"),
        ("Escape", r"Playground|1 Neurons"),
        ("Escape", r"1 Neurons"),
    ),
    "everywhere": (
        ("C", r"Theme lookups-light|Theme ansi|Theme lookups-dark"),
        ("C C", r"Theme"),
        ("V", r"Plain text|Pane \d of 4"),
        ("V", r"Panes again|1 Neurons"),
        ("Y", r"Copied [\d,]+ characters"),
        ("?", r"Keys"),
        ("Escape", r"1 Neurons"),
        ("C-p", r"Search"),
        ("=another model", r"Open another model"),
        ("Enter", r"another model|hub name"),
        ("Escape", r"1 Neurons"),
    ),
}


class Terminal:
    """A tmux with one window, which nothing of the person's own touches."""

    def __init__(self, command: str, environment: dict[str, str], folder: Path) -> None:
        self._socket = f"lookups-{uuid.uuid4().hex[:8]}"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LOOKUPS_", "OPENAI_", "TMUX", "NO_COLOR"))
        }
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
        self._environment = kept
        self.tmux("-f", os.devnull, "new-session", "-d", "-x", "80", "-y", "24", "-c", str(folder),
                  f"env {settings} {command}; echo exit status $?; sleep 600")  # fmt: skip

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._socket, *arguments], capture_output=True, text=True, check=True,
            env=self._environment,
        )  # fmt: skip
        return done.stdout

    def press(self, keys: str) -> None:
        typed, equals, text = keys.partition("=")
        for key in typed.split():
            self.tmux("send-keys", key)
            time.sleep(0.15)
        if equals:
            self._type(text)

    def _type(self, text: str) -> None:
        words = text.removesuffix(" Enter")
        self.tmux("send-keys", "-l", words)
        time.sleep(0.15)
        if words != text:
            self.tmux("send-keys", "Enter")

    def shown(self) -> str:
        return self.tmux("capture-pane", "-p")

    def wait_for(self, pattern: str) -> str:
        """What is shown once `pattern` is."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while not re.search(pattern, text := self.shown()) and time.monotonic() < end:
            time.sleep(0.1)
        assert re.search(pattern, text), f"not {pattern!r}:\n{text}"
        return text

    def close(self) -> None:
        self.tmux("kill-server")


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the demo is scanned."""
    cache = tmp_path_factory.mktemp("scanned") / "cache"
    command = [sys.executable, "-m", "tui_lookups", "scan", "--model", "demo", "--cache-dir", str(cache)]
    subprocess.run(command, check=True, capture_output=True)
    return cache


@pytest.fixture(params=list(ENVIRONMENTS))
def terminal(request: pytest.FixtureRequest, tmp_path: Path, scanned: Path) -> Iterator[Terminal]:
    cache = tmp_path / "cache"
    shutil.copytree(scanned, cache)
    config = tmp_path / "config.toml"
    config.touch()
    environment = ENVIRONMENTS[request.param] | {"LOOKUPS_CONFIG": str(config), "OMP_NUM_THREADS": "1"}
    command = (
        f"{shlex.quote(sys.executable)} -m tui_lookups --model demo --cache-dir {shlex.quote(str(cache))}"
    )
    terminal = Terminal(command, environment | {"PYTHONPATH": os.pathsep.join(sys.path)}, tmp_path)
    yield terminal
    terminal.close()


def test_every_feature_by_keyboard_in_tmux(terminal: Terminal) -> None:
    terminal.wait_for(r"Neurons")
    for feature, steps in WALK.items():
        for keys, expected in steps:
            terminal.press(keys)
            text = terminal.wait_for(expected)
            assert "Traceback" not in text, f"{feature}, {keys}:\n{text}"
            terminal.wait_for(_KEYS_LINE)  # a long message has the line for seconds
    for size in (("120", "40"), ("40", "12"), ("30", "8"), ("80", "24")):
        terminal.tmux("resize-window", "-x", size[0], "-y", size[1])
        terminal.wait_for("too small" if size[1] == "8" else r"Neurons|L\d\.N\d+")
    terminal.press("q")
    terminal.wait_for("exit status 0")
