"""Every wrong argument gets one clear message, on both backends."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from pivotkit import errors
from pivotkit.kernels import PackedUnembedding, TokenSetTable, unembed

H, W = torch.ones(3, 4), torch.ones(9, 4)
BAD_H, BAD_W = H.clone(), W.clone()
BAD_H[1, 2], BAD_H[2, 0] = torch.nan, torch.inf
BAD_W[7, 1], BAD_W[8, 0] = -torch.inf, torch.nan

CASES = [
    (ValueError, r"hidden must be finite; got NaN or infinity at row 1, column 2", BAD_H, W, {}),
    (ValueError, r"weight must be finite; got NaN or infinity at row 7, column 1", H, BAD_W, {}),
    (ValueError, r"weight must be finite; got NaN or infinity at row 7, column 1", H, BAD_W, {"softcap": 2.0}),
    (ValueError, r"fit float32; got an overflow", H * 1e30, W * 1e30, {}),
    (ValueError, r"bias must be finite", H, W, {"bias": torch.tensor([math.nan] * 9)}),
    (ValueError, r"bias must be \(9,\); got \(8,\)", H, W, {"bias": torch.ones(8)}),
    (ValueError, r"hidden must be \(..., 4\) to match weight; got \(3, 5\)", torch.ones(3, 5), W, {}),
    (ValueError, r"weight must be \(V, D\) and not empty; got \(9, 4, 1\)", H, W[..., None], {}),
    (ValueError, r"weight must be \(V, D\) and not empty; got \(0, 4\)", H, W[:0], {}),
    (ValueError, r"weight must have contiguous rows .* got a stride of 9", H, torch.ones(4, 9).t(), {}),
    (ValueError, r"k must be from 1 to 9; got 0", H, W, {"k": 0}),
    (ValueError, r"k must be from 1 to 9; got 10", H, W, {"k": 10}),
    (TypeError, r"k must be an int; got float", H, W, {"k": 2.0}),
    (ValueError, r"softcap must be positive and finite, or None; got -1.0", H, W, {"softcap": -1.0}),
    (ValueError, r"logit_scale must be finite; got nan", H, W, {"logit_scale": math.nan}),
    (ValueError, r"threads must be at least 1; got 0", H, W, {"threads": 0}),
    (TypeError, r"threads must be an int or None; got str", H, W, {"threads": "2"}),
    (IndexError, r"targets must be ids from 0 to 8; got 9", H, W, {"targets": [9]}),
    (IndexError, r"targets must be ids from 0 to 8; got -1", H, W, {"targets": [[0], [-1], [9]]}),
    (TypeError, r"targets must be integer ids; got float64", H, W, {"targets": [0.5]}),
    (ValueError, r"targets must be \(T,\) or \(\*\(3,\), T\); got \(2, 1\)", H, W, {"targets": [[0], [1]]}),
    (IndexError, r"token_sets must be ids from 0 to 8; got 9", H, W, {"token_sets": [[0], [9]]}),
    (ValueError, r"token_sets must have sets for 3 rows; got 1", H, W, {"token_sets": TokenSetTable.per_row([[[0]]])}),
    (IndexError, r"references must be rows from 0 to 2; got 3", H, W, {"references": [0, 3, -1]}),
    (IndexError, r"references must be rows from 0 to 2; got -1", H, W, {"references": [0, -1, 3]}),
    (TypeError, r"references must be integer ids; got float64", H, W, {"references": [0.0, 1.0, 2.0]}),
    (TypeError, r"references must be integer ids; got bool", H, W, {"references": np.array([True] * 3)}),
    (ValueError, r"references must be \(3,\) or \(3,\); got \(3, 1\)", H, W, {"references": [[0], [1], [2]]}),
    (ValueError, r"references must be \(1, 3\) or \(3,\); got \(2,\)", H[None], W, {"references": [0, 1]}),
    (TypeError, r"hidden must be float32, bfloat16 or float16; got float64", H.double(), W, {}),
    (TypeError, r"weight must be float32, bfloat16 or float16; got int64", H, W.long(), {}),
    (TypeError, r"hidden must be a torch tensor or a NumPy array; got list", [[1.0]], W, {}),
    (TypeError, r"weight must be on the device of hidden, (cpu|cuda)(:0)?; got meta", H, W.to("meta"), {}),
    (ValueError, r"precision must be 'exact' or 'certified'; got 'half'", H, W, {"precision": "half"}),
    (
        ValueError,
        r"weight must be PackedUnembedding\(weight, precision='certified'\)",
        H,
        W,
        {"precision": "certified"},
    ),
    (ValueError, r"logsumexp_tolerance must be None, or not negative .*; got 0.1", H, W, {"logsumexp_tolerance": 0.1}),
]


@pytest.mark.parametrize("way", ["cpu", "torch", "simt", "cuda"])
@pytest.mark.parametrize(("error", "message", "hidden", "weight", "options"), CASES, ids=[case[1] for case in CASES])
def test_wrong_argument(
    request: pytest.FixtureRequest,
    error: type[Exception],
    message: str,
    hidden: Any,
    weight: Any,
    options: dict[str, Any],
    way: str,
) -> None:
    backend = way
    if way == "simt":
        request.getfixturevalue("unembed_on_simt")
        backend = "cuda"
    if way == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device on this machine")
        hidden, weight = (one.cuda() if torch.is_tensor(one) and not one.is_meta else one for one in (hidden, weight))
    with pytest.raises(error, match=rf"^unembed: {message}|^unembed: .*{message}"):
        unembed(hidden, weight, **{"k": 1, "backend": backend, **options})


def test_unknown_backend() -> None:
    with pytest.raises(ValueError, match=r"^unembed: backend must be 'auto', 'cpu', 'cuda' or 'torch'; got 'rocm'"):
        unembed(H, W, 1, backend="rocm")


def test_absent_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIVOTKIT_ISA", "avx1024")
    with pytest.raises(
        ValueError,
        match=r"PIVOTKIT_ISA must be one of scalar, neon, neondot, neoni8mm, neonbf16, avx2, avx2vnni, avx512, avx512vnni, avx512bf16, amx; got avx1024",
    ):
        unembed(H, W, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_packing_finds_the_first_bad_place(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=r"^PackedUnembedding: weight must be finite; .* at row 7, column 1"):
        PackedUnembedding(BAD_W.to(dtype))
    with pytest.raises(ValueError, match=r"row 7, column 1"):
        unembed(H, BAD_W.to(dtype), 1)


def test_packing_refuses_what_unembed_refuses() -> None:
    with pytest.raises(errors.BackendUnavailable, match=r"^PackedUnembedding: precision must be 'exact' on meta; got"):
        PackedUnembedding(W.to("meta"), precision="certified")
    with pytest.raises(ValueError, match=r"^PackedUnembedding: cache must be None for precision 'exact'"):
        PackedUnembedding(W, cache="head.npy")
    with pytest.raises(TypeError, match=r"^PackedUnembedding: weight must be float32"):
        PackedUnembedding(np.ones((2, 2)))
