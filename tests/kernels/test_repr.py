"""What the kernels' objects show of themselves: one short line, and no numbers of a tensor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pivotkit.kernels import PackedUnembedding, TokenSetTable, unembed
from pivotkit.kernels.request import UnembedRequest


@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_an_answer_shows_its_shape_and_what_was_asked_for(library: str) -> None:
    hidden, weight = torch.randn(2, 3, 4), torch.randn(50, 4)
    if library == "numpy":
        hidden, weight = hidden.numpy(), weight.numpy()
    plain = unembed(hidden, weight, k=5)
    assert repr(plain) == f"Unembedded(rows=(2, 3), k=5, backend='cpu', isa={plain.isa!r})"
    full = unembed(hidden, weight, k=5, targets=[1, 2], token_sets=[[3]], entropy=True, references=range(6))
    assert repr(full) == (
        f"Unembedded(rows=(2, 3), k=5, targets=2, token_sets=1, entropy, kl, backend='cpu', isa={full.isa!r})"
    )


def test_an_answer_of_torch_names_no_instruction_set() -> None:
    assert repr(unembed(torch.ones(4), torch.eye(4), 1, backend="torch")) == "Unembedded(rows=(), k=1, backend='torch')"


def test_a_certified_answer_says_so() -> None:
    packed = PackedUnembedding(np.eye(64, dtype=np.float32), precision="certified")
    assert repr(packed) == "PackedUnembedding(shape=(64, 64), dtype='float32', precision='certified')"
    answer = unembed(np.ones((2, 64), np.float32), packed, k=1, precision="certified")
    assert repr(answer).startswith("Unembedded(rows=(2,), k=1, certified, backend='cpu'")


def test_token_sets_show_how_many_they_are() -> None:
    assert repr(TokenSetTable.of_all([[1, 2], [3]])) == "TokenSetTable(shared, sets=2, ids=3)"
    assert repr(TokenSetTable.per_row([[[1, 2]], [[]]])) == "TokenSetTable(rows=2, sets=1, ids=2)"


def test_a_request_shows_its_shapes() -> None:
    request = UnembedRequest(torch.ones(2, 4), torch.ones(9, 4), 3, workspace=1024)
    assert repr(request) == "UnembedRequest(hidden=(2, 4), weight=(9, 4), k=3, workspace=1024)"
