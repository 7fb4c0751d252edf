"""Ray, started for one scan or joined, and left without a trace.

1. With an address, this process joins that cluster, if what listens there speaks HTTP/2, as Ray does: Ray
   itself would try for minutes. Without one, Ray is started here, on the loopback interface, with as many
   processors as the workers need, and ends with this process.
2. A thread of its own starts Ray and stays until the end: on Linux, what Ray starts is killed by the
   system when the thread that started it ends, also when this process is killed.
3. Nothing of Ray's reaches the terminal: no dashboard, no statistics sent out, no forwarded output, its logs
   in a private temporary folder (a short path: Unix sockets lie in it). A reaper removes it, and what is
   left of Ray, also when this process is killed (reaper.py).
4. API keys in the environment are kept from the processes that Ray starts; a token of this run's own keeps
   other users of the machine out. Token and loopback are set up when Ray is imported, so a notebook that has
   imported it before has chosen for itself.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tui_lookups.errors import LookupsError, Poll, first_line
from tui_lookups.scan.ray.reaper import MARK

_PREFIX = "lookups-ray-"
_LONGEST_TEMP = 40
"""Characters of the temporary folder: Ray appends 60, and a Unix socket's path has room for 107."""

_ANSWER_SECONDS = 10.0
"""How long whoever listens at an address may take to say the first word."""

_JOINING_SECONDS = 60.0
"""How long it may take to join a cluster that has said it."""

_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of HTTP/2 begins (RFC 9113, 3.4): the preface, and a SETTINGS frame that sets nothing."""

_FRAME_HEADER, _FRAME_TYPE, _SETTINGS = 9, 3, 4

_KEYS = re.compile(r"\w*_API_KEY", re.ASCII)

_log = logging.getLogger(__name__)


class RayError(LookupsError):
    """Ray is missing, cannot be started or reached, or has lost its workers."""


def import_ray(*, joining: bool) -> Any:
    """The ray module, set up to be quiet. Raises RayError when it is not installed.

    Args:
        joining: a cluster that runs has its own token; a Ray started here gets one of this run.
    """
    # All of this is read by Ray when it is imported.
    if not joining and "ray" not in sys.modules:
        # Without this it takes 127.0.0.1 for the machine's own address, and listens on every interface.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        if "RAY_AUTH_MODE" not in os.environ:
            os.environ["RAY_AUTH_MODE"] = "token"
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise RayError(
            "The ray engine needs Ray, which is not installed.", "Run: pip install 'lookups-tui[ray]'"
        ) from error
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Ray prints the deaths of workers to stdout, coloured, also when told to forward no output; stdout is the
    # answer's, and nothing public turns that off.
    if hasattr(ray._private.worker, "_worker_logs_enabled"):
        ray._private.worker._worker_logs_enabled = False
    else:
        _log.warning("this version of Ray, %s, may print to stdout", ray.__version__)
    return ray


class RayCluster:
    """A connection to Ray, from `open` to `close`. One at a time in a process.

    Args:
        address: of a running cluster ("auto", "HOST:6379", "ray://HOST:10001"); None starts Ray here.
        processors: CPUs that a Ray started here hands out.
        store_bytes: size of the object store of a Ray started here.
    """

    def __init__(self, address: str | None, *, processors: int, store_bytes: int = 256 << 20) -> None:
        self.address, self._processors, self._store_bytes = address, processors, store_bytes
        self._ready, self._stop = threading.Event(), threading.Event()
        self._error: LookupsError | None = None
        self._ray: Any = None
        self._temp: Path | None = None
        self._reaper: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._live, name="lookups-ray", daemon=True)

    def open(self, poll: Poll) -> Any:
        """Connect, polling meanwhile; the ray module. Raises RayError."""
        self._thread.start()
        deadline = time.monotonic() + _ANSWER_SECONDS + _JOINING_SECONDS
        while not self._ready.wait(0.1):
            poll()
            if self.address is not None and time.monotonic() > deadline:
                self.close()
                raise _unreachable(self.address, f"it has not let us join in {_JOINING_SECONDS:.0f} s")
        if self._error is not None:
            raise self._error
        return self._ray

    def close(self, seconds: float = 0.0) -> None:
        """Let go of Ray, waiting for that at most so long; what was started here ends in any case."""
        self._stop.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    def _live(self) -> None:
        try:
            ray = self._ray = import_ray(joining=self.address is not None)
            mine = not ray.is_initialized()  # a notebook may have joined a cluster of its own
            if mine:
                self._connect(ray)
        except LookupsError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - Ray raises many kinds; a thread's boundary
            first = first_line(error)[:300].rstrip(".")
            if self.address is not None:
                self._error = _unreachable(self.address, first)
            else:
                self._error = RayError(
                    f"Ray could not be started: {first}.", "Run with --log FILE to see more."
                )
            self._error.__cause__ = error
        self._ready.set()
        try:
            if self._error is None:
                self._stop.wait()
                if mine:
                    ray.shutdown()
        finally:
            if self._reaper is not None:
                self._reaper.communicate()  # closes its stdin, and waits for it

    def _connect(self, ray: Any) -> None:
        quiet: dict[str, Any] = {
            "log_to_driver": False, "configure_logging": False, "logging_level": logging.ERROR,
        }  # fmt: skip
        if self.address is not None:
            _require_answer(self.address)
            ray.init(address=self.address, namespace=f"lookups-{os.getpid()}", **quiet)
            return
        _sweep()
        self._temp = _private_folder()
        with _own_environment(self._temp):
            self._reaper = _start_reaper(self._temp)
            ray.init(
                address="local",
                num_cpus=self._processors,
                include_dashboard=False,
                object_store_memory=self._store_bytes,
                _temp_dir=str(self._temp),
                _node_ip_address="127.0.0.1",
                **quiet,
            )


def _unreachable(address: str, why: str) -> RayError:
    return RayError(
        f"Ray could not be reached at {address}: {why}.",
        "Start it with `ray start --head`, or leave --ray-address out for workers of your own.",
    )


def _require_answer(address: str) -> None:
    """Raise OSError unless what listens at HOST:PORT answers as servers of HTTP/2 do, gRPC's among them.

    Not looked at: an address without a port, and a cluster that wants TLS, which says nothing before it.
    """
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        return
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS) as connection:
        if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
            return
        connection.sendall(_HELLO)
        answer = b""
        try:
            while len(answer) < _FRAME_HEADER and (more := connection.recv(_FRAME_HEADER - len(answer))):
                answer += more
        except TimeoutError as error:
            raise OSError(
                f"something listens there and has said nothing in {_ANSWER_SECONDS:.0f} s"
            ) from error
    if len(answer) < _FRAME_HEADER or answer[_FRAME_TYPE] != _SETTINGS:
        raise OSError("something else listens there")


@contextmanager
def _own_environment(folder: Path) -> Iterator[None]:
    """The environment that Ray's processes inherit: the mark they are known by, and no API keys.

    Keys are missing in this process, too, while Ray starts; HF_TOKEN stays, the workers load with it.
    """
    keys = {name: os.environ.pop(name) for name in list(os.environ) if _KEYS.fullmatch(name)}
    os.environ[MARK] = str(folder)
    try:
        yield
    finally:
        os.environ.update(keys)
        del os.environ[MARK]


def _private_folder() -> Path:
    """A folder for this process alone, with a short path."""
    usual = Path(tempfile.gettempdir())
    root = usual if len(str(usual)) + len(_PREFIX) + 20 <= _LONGEST_TEMP else Path("/tmp")
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=root))


def _start_reaper(folder: Path) -> subprocess.Popen[bytes]:
    """The program that cleans up after this one, in a session of its own: Ctrl-C does not reach it."""
    program = Path(__file__).with_name("reaper.py")
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(program), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if name != MARK},  # it would kill itself
    )


def _sweep() -> None:
    """Remove the folders of processes that are no more."""
    for root in {Path(tempfile.gettempdir()), Path("/tmp")}:
        for folder in root.glob(f"{_PREFIX}*-*"):
            owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
            if owner.isdigit() and folder.stat().st_uid == os.getuid() and not _alive(int(owner)):
                shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
