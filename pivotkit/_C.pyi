from __future__ import annotations

from typing import Any, NotRequired, TypedDict

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
    kl: NDArray[np.float32]
    isa: str
    logsumexp_error: NotRequired[NDArray[np.float32]]
    certified: NotRequired[NDArray[np.uint8]]

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
    quantized: tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None = None,
    references: NDArray[np.int64] | None = None,
) -> UnembedArrays: ...
def quantize(
    weight: NDArray[Any], type: str, threads: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]: ...
def first_nonfinite(values: NDArray[Any], type: str, threads: int) -> tuple[int, int] | None: ...
def isas() -> list[str]: ...
def select_isa(name: str = "") -> str: ...

# ---- csrc/documents ----

_Strings = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], int]

class DocumentBlock:
    def __init__(self, expected: int = 0) -> None: ...
    def add_json_lines(self, lines: NDArray[np.uint8], begin: int, end: int) -> int: ...
    def add_text_lines(self, lines: NDArray[np.uint8], begin: int, end: int) -> int: ...
    def append(self, text: bytes, id: bytes | None, lang: bytes | None) -> None: ...
    def pass_line(self) -> None: ...
    def take(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], _Strings, _Strings]: ...
    def __len__(self) -> int: ...
    @property
    def next_row(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

# ---- csrc/matcher, csrc/cooccurrence ----

class Matcher:
    def __init__(self, words: NDArray[np.uint8], offsets: NDArray[np.int64], classes: NDArray[np.uint8]) -> None: ...
    def match(
        self, documents: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]: ...
    def __len__(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

class DocumentCounter:
    def __init__(self, words: int, pairs: NDArray[np.int32], vocabulary: int = 0, expected_tokens: int = 0) -> None: ...
    def add(
        self,
        offsets: NDArray[np.int64],
        words: NDArray[np.int32],
        counts: NDArray[np.int32],
        tokens: NDArray[np.uint32] | None = None,
        token_offsets: NDArray[np.int64] | None = None,
    ) -> None: ...
    def context(self, begin: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]: ...
    def context_bounds(self) -> NDArray[np.int64]: ...
    @property
    def documents(self) -> int: ...
    @property
    def df(self) -> NDArray[np.int64]: ...
    @property
    def tf(self) -> NDArray[np.int64]: ...
    @property
    def pair_df(self) -> NDArray[np.int64]: ...
    @property
    def background(self) -> NDArray[np.int64]: ...
