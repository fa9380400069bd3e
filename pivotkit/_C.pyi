from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

# ---- csrc/unembed ----

class UnembedArrays(TypedDict):
    ids: NDArray[np.int64]
    logits: NDArray[np.float32]
    logsumexp: NDArray[np.float32]
    target_logits: NDArray[np.float32]
    target_ranks: NDArray[np.int64]
    set_logprobs: NDArray[np.float32]
    entropy: NDArray[np.float32]
    isa: str

def unembed(
    hidden: NDArray[Any],
    hidden_type: str,
    weight: NDArray[Any],
    weight_type: str,
    k: int,
    bias: NDArray[np.float32] | None,
    logit_scale: float,
    softcap: float,
    targets: NDArray[np.int64] | None,
    set_ids: NDArray[np.int64] | None,
    set_offsets: NDArray[np.int64] | None,
    sets: int,
    sets_shared: bool,
    entropy: bool,
    threads: int,
    isa: str,
    workspace: int,
    tile: int = 0,
) -> UnembedArrays: ...
def first_nonfinite(values: NDArray[Any], type: str, threads: int) -> tuple[int, int] | None: ...
def isas() -> list[str]: ...
def select_isa(name: str = "") -> str: ...
