"""The envelope around every cached value: damage, or a value under another name, never passes for an answer.

    magic "LKUP" | format version, 1 byte | SHA-256, 32 bytes | payload

The checksum covers the format version, the entry's kind and key, and the payload. So a flipped bit, a
value cut short, a value of another format, and a value moved under another key are all refused.
"""

from __future__ import annotations

import hashlib

from tui_lookups.errors import CacheError

MAGIC = b"LKUP"
FORMAT_VERSION = 1
"""Version of the envelope and of what lies in it; part of every key, so a change misses old entries."""

_HEADER = len(MAGIC) + 1 + 32


class DamagedEntryError(Exception):
    """A stored value that is not what was once put under this kind and key."""


class RefusedEntryError(CacheError):
    """A row, key or setting of a kind that this package never writes, a pickle for one."""


def seal(kind: str, key: str, payload: bytes) -> bytes:
    """`payload` in its envelope, bound to `kind` and `key`."""
    return MAGIC + bytes([FORMAT_VERSION]) + _checksum(kind, key, payload) + payload


def unseal(kind: str, key: str, sealed: bytes) -> bytes:
    """The payload that `seal` was given. Raises DamagedEntryError (a phrase that says what is wrong)."""
    if len(sealed) < _HEADER or not sealed.startswith(MAGIC):
        raise DamagedEntryError("it does not start with this cache's mark")
    if sealed[len(MAGIC)] != FORMAT_VERSION:
        raise DamagedEntryError(f"it has format version {sealed[len(MAGIC)]}, not {FORMAT_VERSION}")
    payload = sealed[_HEADER:]
    if sealed[len(MAGIC) + 1 : _HEADER] != _checksum(kind, key, payload):
        raise DamagedEntryError("its checksum does not match")
    return payload


def _checksum(kind: str, key: str, payload: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in (bytes([FORMAT_VERSION]), kind.encode(), key.encode(), payload):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
