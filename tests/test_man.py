"""The manual page has every command and every option, and roff reads it."""

from __future__ import annotations

import shutil
import subprocess

import click
import pytest

from tui_lookups import cli
from tui_lookups.commands import man


@pytest.fixture(scope="module")
def page() -> str:
    return man.man_page(cli.app, click.Context(cli.app, info_name="lookups-tui"))


def test_every_command_and_option_is_there(page: str) -> None:
    for name, command in cli.app.commands.items():
        assert man._text(f".SS lookups-tui {name}").removeprefix("\\&") in page
        options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
        for option in options:
            assert option.opts[0].replace("-", "\\-") in page, (name, option.opts)


def test_a_common_flag_is_there_once(page: str) -> None:
    assert page.count(".B \\-\\-corpus") == 1


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff here")
def test_roff_has_nothing_to_complain_of(page: str) -> None:
    line = ["groff", "-man", "-Tutf8", "-ww", "-z"]
    done = subprocess.run(line, input=page, text=True, capture_output=True, timeout=60, check=True)
    assert done.stderr == ""
