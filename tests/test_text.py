"""Lists of Python objects into flat arrays."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit._text import pack_ids, pack_strings


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_strings_come_back_from_their_bytes(texts: list[str]) -> None:
    data, offsets = pack_strings(texts)
    assert (data.dtype, offsets.dtype) == (np.uint8, np.int64)
    assert [data[a:b].tobytes().decode() for a, b in pairwise(offsets)] == texts


@given(st.lists(st.lists(st.integers(0, 2**32 - 1))))
def test_ids_come_back_from_their_array(documents: list[list[int]]) -> None:
    ids, offsets = pack_ids(documents)
    assert (ids.dtype, offsets.dtype) == (np.uint32, np.int64)
    assert [ids[a:b].tolist() for a, b in pairwise(offsets)] == documents


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (("a",), TypeError, "list"),
        (None, TypeError, "None"),
        (["a", b"b"], TypeError, "texts must hold str; got bytes at 1"),
        (["a", "b\udc80"], ValueError, "texts must be valid Unicode; got a lone surrogate at 1, character 1"),
    ],
)
def test_strings_refuse_what_is_no_text(value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pack_strings(value)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([(1, 2)], TypeError, "documents must hold lists of int; got tuple at 0"),
        ([[1], [2, 3.0]], TypeError, "ids must be int; got float at 1, 1"),
        ([[-1]], ValueError, r"ids must be in \[0, 2\^32\); got -1 at 0, 0"),
        ([[2**32]], ValueError, "got 4294967296 at 0, 0"),
        ([[2**80]], ValueError, "at 0, 0"),
    ],
)
def test_ids_refuse_what_is_no_id(value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pack_ids(value)
