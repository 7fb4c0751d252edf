"""The subcommand `docs`: the documentation pages that ship with the package, read without a browser."""

from __future__ import annotations

from pathlib import Path

import click

from tui_lookups.errors import LookupsError

PAGES = click.Group("pages")
"""Holds `docs` until it is put on the app."""

FOLDER = Path(__file__).resolve().parent.parent / "docs"


def pages() -> dict[str, Path]:
    """The pages by name, in alphabetical order."""
    return {path.stem.lower(): path for path in sorted(FOLDER.glob("*.md"), key=lambda p: p.stem.lower())}


@PAGES.command()
@click.argument("page", required=False)
def docs(page: str | None) -> None:
    """The documentation: a page by its name, or the list of pages."""
    found = pages()
    if page is None:
        for name, path in found.items():
            title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
            click.echo(f"{name:20} {title}")
        return
    if page.lower() not in found:
        raise LookupsError(f"There is no page {page!r}.", f"The pages: {', '.join(found)}.")
    from rich.console import Console
    from rich.markdown import Markdown

    text = found[page.lower()].read_text(encoding="utf-8")
    if Console().is_terminal:
        Console().print(Markdown(text))
    else:
        click.echo(text, nl=False)
