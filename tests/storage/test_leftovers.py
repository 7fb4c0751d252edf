from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tui_lookups.storage import leftovers
from tui_lookups.storage.cache import ResultCache
from tui_lookups.storage.leftovers import sweep, working_folder

HOUR = 3600.0


def aged(path: Path, seconds: float) -> Path:
    """`path`, last touched so many seconds ago."""
    when = time.time() - seconds
    os.utime(path, (when, when))
    return path


def killed_at_work(parent: Path) -> Path:
    """What is left of a working folder whose process was killed (SIGKILL) while a file was written."""
    code = (
        "import os, signal, sys; from pathlib import Path; from tui_lookups.storage import leftovers\n"
        "with leftovers.working_folder(Path(sys.argv[1]), 'dequantising') as work:\n"
        "    (work / 'model.safetensors').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(parent)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = parent.iterdir()
    assert (left / "dequantising" / "model.safetensors").read_bytes() == b"half"
    return left


def test_a_working_folder_is_private_and_goes(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with working_folder(tmp_path, "fetching") as work:
            assert [stat.S_IMODE(path.stat().st_mode) for path in (work, work.parent)] == [0o700, 0o700]
            assert list(work.iterdir()) == []
            (work / "file").write_bytes(b"x")
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []


def test_work_can_be_renamed_into_place(tmp_path: Path) -> None:
    with working_folder(tmp_path, "dequantising") as work:
        (work / "file").write_bytes(b"whole")
        work.rename(tmp_path / "done")
    assert [path.name for path in tmp_path.rglob("*")] == ["done", "file"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = killed_at_work(tmp_path)
    assert sweep(tmp_path) == ()  # it may be about to take its lock
    aged(left, leftovers.UNLOCKED_SECONDS + 1)
    assert sweep(tmp_path) == (left,)
    assert list(tmp_path.iterdir()) == []


def test_what_a_live_process_works_on_stays_however_old(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tui_lookups.storage import leftovers\n"
        "with leftovers.working_folder(Path(sys.argv[1]), 'verifying') as work:\n"
        "    (work / 'file').write_bytes(b'half'); print(work, flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        work = Path(other.stdout.readline().strip())
        aged(work.parent, 1000 * HOUR)
        assert sweep(tmp_path) == ()
        assert (work / "file").read_bytes() == b"half"
        other.kill()
    assert sweep(tmp_path) == (work.parent,)


def test_temporary_files_go_after_hours(tmp_path: Path) -> None:
    names = [f".lookups-{digit * 16}.tmp" for digit in "ab"]
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    aged(tmp_path / names[0], leftovers.WRITING_SECONDS + 60)
    aged(tmp_path / names[1], leftovers.WRITING_SECONDS - 60)
    assert sweep(tmp_path) == (tmp_path / names[0],)
    assert [path.name for path in tmp_path.iterdir()] == [names[1]]


@pytest.mark.parametrize(
    "name",
    [".lookups-notes", "notes.tmp", ".lookups-aaaaaaaaaaaaaaaa.tmp2", ".lookups-verifying-old", "session-x"],
)  # fmt: skip
@pytest.mark.parametrize("folder", [True, False])
def test_what_has_another_name_stays(tmp_path: Path, name: str, folder: bool) -> None:
    path = tmp_path / name
    path.mkdir() if folder else path.write_bytes(b"precious")
    aged(path, 1000 * HOUR)
    assert sweep(tmp_path) == ()
    assert path.exists()


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "thesis.tex").write_bytes(b"precious")
    inside = tmp_path / "inside"
    inside.mkdir()
    for path in (outside / "thesis.tex", outside):
        aged(path, 1000 * HOUR)
    for name, target in (
        (".lookups-fetching-aaaaaaaa", outside),
        (f".lookups-{'c' * 16}.tmp", outside / "thesis.tex"),
    ):
        (inside / name).symlink_to(target)
        os.utime(inside / name, (0, 0), follow_symlinks=False)
    assert sweep(inside) == ()
    assert os.listdir(outside) == ["thesis.tex"]
    assert len(os.listdir(inside)) == 2


def test_a_folder_that_is_not_there_has_nothing_left(tmp_path: Path) -> None:
    assert sweep(tmp_path / "missing") == ()


def test_opening_the_cache_sweeps_and_its_figures_agree(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    cache.put("kind", cache.key("kind", n=1), b"kept")
    models = cache.folder("models")
    cache.close()
    left = killed_at_work(models)
    held = ResultCache(tmp_path)
    assert held.info().sizes["models"] == 4, "young, and so still there"
    assert held.verify() == ()
    held.close()
    aged(left, HOUR)
    file = tmp_path / f".lookups-{'d' * 16}.tmp"
    file.write_bytes(b"half a session")
    aged(file, 24 * HOUR)
    again = ResultCache(tmp_path)
    info = again.info()
    assert (info.entries, info.sizes["models"]) == (1, 0)
    assert again.verify() == info.problems == ()
    assert list(models.iterdir()) == []
    assert not file.exists()
    again.close()
