from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_lookups.storage.envelope import DamagedEntryError, seal, unseal


@given(st.binary(max_size=200))
def test_what_is_sealed_comes_back(payload: bytes) -> None:
    assert unseal("kind", "key", seal("kind", "key", payload)) == payload


@given(st.binary(max_size=50), st.data())
def test_any_changed_byte_is_noticed(payload: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal("kind", "key", payload))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedEntryError):
        unseal("kind", "key", bytes(sealed))


@given(st.binary(max_size=50), st.data())
def test_any_cut_is_noticed(payload: bytes, data: st.DataObject) -> None:
    sealed = seal("kind", "key", payload)
    with pytest.raises(DamagedEntryError):
        unseal("kind", "key", sealed[: data.draw(st.integers(0, len(sealed) - 1))])


@pytest.mark.parametrize(("kind", "key"), [("other", "key"), ("kind", "other"), ("kin", "dkey")])
def test_a_value_under_another_name_is_refused(kind: str, key: str) -> None:
    with pytest.raises(DamagedEntryError):
        unseal(kind, key, seal("kind", "key", b"payload"))
