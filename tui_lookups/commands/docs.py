"""The subcommand `docs`: the documentation pages that ship with the package, read without a browser."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import click

from tui_lookups.commands.invocation import Invocation, command
from tui_lookups.errors import LookupsError

FOLDER = Path(__file__).resolve().parent.parent / "docs"


@dataclass(frozen=True, slots=True)
class Page:
    """A documentation page; `text` is Markdown, None in a list of pages."""

    name: str
    title: str
    text: str | None


@dataclass(frozen=True, slots=True)
class PageList:
    """The pages there are."""

    pages: tuple[Page, ...]


def read_pages() -> dict[str, Page]:
    """The pages by name, in alphabetical order."""
    pages = {}
    for path in sorted(FOLDER.glob("*.md"), key=lambda path: path.stem.lower()):
        text = path.read_text(encoding="utf-8")
        name = path.stem.lower()
        pages[name] = Page(name, text.splitlines()[0].lstrip("# "), text)
    return pages


@command()
@click.argument("page", required=False)
def docs(invocation: Invocation, page: str | None) -> None:
    """The documentation: a page by its name, or the list of pages."""
    pages = read_pages()
    if page is None:
        listed = tuple(Page(page.name, page.title, None) for page in pages.values())
        invocation.emit(PageList(listed), rows=[(page.name, page.title) for page in listed])
        return
    chosen = pages.get(page.lower())
    if chosen is None or chosen.text is None:
        raise LookupsError(f"There is no page {page!r}.", f"The pages: {', '.join(pages)}.")
    if invocation.json:
        invocation.emit(chosen, rows=[])
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(chosen.text))
    else:
        invocation.emit_bytes(chosen.text.encode("utf-8"))
