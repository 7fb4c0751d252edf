"""Style sheets are parsed once a process, not once an app: that was a sixth of what starting one costs.

Textual remembers what it parsed by the text, its place and the variables; here all apps have one memory for
it. Rules that were parsed are not changed any more, so apps can share them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def parsed_once() -> Iterator[None]:
    """Apps share the rules of the same style sheet under the same variables."""
    from textual.css import stylesheet

    tokenize, parse = stylesheet.tokenize_values, stylesheet.parse
    variables: dict[frozenset[tuple[str, str]], Any] = {}
    rules: dict[tuple[Any, ...], list[Any]] = {}

    def tokenized(values: dict[str, str]) -> Any:
        key = frozenset(values.items())
        if key not in variables:
            variables[key] = tokenize(values)
        return variables[key]

    def parsed(*args: Any, variable_tokens: Any, **options: Any) -> list[Any]:
        # tokens that are kept are known by where they lie
        key = (*args, id(variable_tokens), *sorted(options.items()))
        if key not in rules:
            rules[key] = list(parse(*args, variable_tokens=variable_tokens, **options))
        return rules[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stylesheet, "tokenize_values", tokenized)
        patch.setattr(stylesheet, "parse", parsed)
        yield
