from __future__ import annotations

from collections.abc import Sequence
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
    screen_always: bool = False,
) -> UnembedArrays: ...
def quantize(
    weight: NDArray[Any], type: str, threads: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]: ...
def first_nonfinite(values: NDArray[Any], type: str, threads: int) -> tuple[int, int] | None: ...
def isas() -> list[str]: ...
def select_isa(name: str = "") -> str: ...
def tiles() -> str: ...
def paths() -> list[tuple[str, str, str, int, str]]: ...

# ---- csrc/documents ----

_Strings = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], int]

class DocumentBlock:
    def __init__(self, expected: int = 0) -> None: ...
    def add_json_lines(self, lines: NDArray[np.uint8], begin: int, end: int) -> int: ...
    def add_text_lines(self, lines: NDArray[np.uint8], begin: int, end: int) -> int: ...
    def pass_line(self) -> None: ...
    def take(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], _Strings, _Strings]: ...
    def __len__(self) -> int: ...
    @property
    def next_row(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

def text_hashes(texts: NDArray[np.uint8], offsets: NDArray[np.int64], seed: int) -> NDArray[np.uint64]: ...

# ---- csrc/unicode, csrc/matcher, csrc/counting, csrc/rows, csrc/token_graph ----

_Texts = tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.uint32]]

class Normalizer:
    def __init__(
        self,
        combining: NDArray[np.uint8],
        decompositions: _Texts,
        foldings: _Texts,
        compositions: NDArray[np.uint32],
        roles: NDArray[np.uint8],
    ) -> None: ...
    def normalize(
        self, texts: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]: ...
    @property
    def nbytes(self) -> int: ...

Places = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]

class Matcher:
    def __init__(
        self,
        words: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        normalizer: Normalizer,
        letters: NDArray[np.uint8],
    ) -> None: ...
    def match(
        self, documents: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]: ...
    def spans(
        self, documents: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]: ...
    def __len__(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

class TokenMatcher:
    def __init__(
        self,
        ids: NDArray[np.uint32],
        offsets: NDArray[np.int64],
        words: NDArray[np.int32],
        leads: NDArray[np.uint8],
        word_count: int,
        edges: NDArray[np.uint8],
        texts: NDArray[np.uint8],
        text_offsets: NDArray[np.int64],
        flags: NDArray[np.uint8],
        kinds: NDArray[np.uint8],
        matcher: Matcher | None,
    ) -> None: ...
    def match(
        self, tokens: NDArray[np.integer], offsets: NDArray[np.int64], places: bool = False
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], Places | None]: ...
    def __len__(self) -> int: ...
    @property
    def vocabulary(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

class SegmentReader:
    def __init__(
        self,
        moves: NDArray[np.uint32],
        rows: NDArray[np.uint16],
        outputs: NDArray[np.int32],
        features: NDArray[np.float32],
        priors: NDArray[np.float32],
        handicaps: NDArray[np.float32],
        letters: NDArray[np.uint8],
    ) -> None: ...
    def read(
        self, segments: NDArray[np.uint8], offsets: NDArray[np.int64], half: int, lead: float
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]: ...

def text_pieces(
    documents: NDArray[np.uint8], offsets: NDArray[np.int64], kind: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def token_pieces(
    tokens: NDArray[np.integer],
    offsets: NDArray[np.int64],
    texts: NDArray[np.uint8],
    text_offsets: NDArray[np.int64],
    kind: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def word_windows(
    offsets: NDArray[np.int64],
    places: Places | None,
    tokens: NDArray[np.integer],
    token_offsets: NDArray[np.int64],
    window: int,
    start: int,
    most: int,
) -> tuple[NDArray[np.integer], NDArray[np.int64]]: ...
def words_in_languages(
    spelled_offsets: NDArray[np.int64],
    spelled_words: NDArray[np.int32],
    word_languages: NDArray[np.uint64],
    languages: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    spellings: NDArray[np.int32],
    counts: NDArray[np.int32],
    places: Places | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], Places | None]: ...

class DocumentCounter:
    def __init__(self, words: int, pairs: NDArray[np.int32], window: int = 0) -> None: ...
    def add(
        self,
        offsets: NDArray[np.int64],
        words: NDArray[np.int32],
        counts: NDArray[np.int32],
        places: Places | None = None,
    ) -> None: ...
    def clear(self) -> None: ...
    @property
    def documents(self) -> int: ...
    @property
    def df(self) -> NDArray[np.int64]: ...
    @property
    def tf(self) -> NDArray[np.int64]: ...
    @property
    def pair_df(self) -> NDArray[np.int64]: ...
    @property
    def nbytes(self) -> int: ...

class ContextCounter:
    def __init__(self, words: int, vocabulary: int, capacity: int) -> None: ...
    def add(
        self,
        offsets: NDArray[np.int64],
        words: NDArray[np.int32],
        tokens: NDArray[np.integer],
        token_offsets: NDArray[np.int64],
        start: int = 0,
    ) -> int: ...
    def rows(self, begin: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint32]]: ...
    def write(self, path: str) -> int: ...
    def clear(self) -> None: ...
    @property
    def background(self) -> NDArray[np.int64]: ...

class PostingWriter:
    def __init__(self, path: str, words: int, run_hits: int) -> None: ...
    def add(
        self,
        offsets: NDArray[np.int64],
        words: NDArray[np.int32],
        counts: NDArray[np.int32],
        rows: NDArray[np.int64],
    ) -> None: ...
    def finish(self) -> int: ...

class PostingFile:
    def __init__(self, path: str, words: int) -> None: ...
    def read(
        self, run: int, first: int, last: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]: ...
    @property
    def runs(self) -> int: ...
    @property
    def digest(self) -> int: ...

class ContextTable:
    def __init__(self, words: int, vocabulary: int) -> None: ...
    def add(self, counter: ContextCounter, begin: int = 0, limit: int = ...) -> int: ...
    def add_rows(self, path: str) -> None: ...
    def write(self, path: str) -> int: ...
    def clear(self) -> None: ...
    @property
    def nbytes(self) -> int: ...

class StratumCounter:
    def __init__(self, strata: int, vocabulary: int, words: int) -> None: ...
    def add(
        self,
        offsets: NDArray[np.int64],
        words: NDArray[np.int32],
        strata: NDArray[np.int32],
        tokens: NDArray[np.integer] | None = None,
        token_offsets: NDArray[np.int64] | None = None,
    ) -> None: ...
    def write(self, path: str) -> int: ...
    def clear(self) -> None: ...
    @property
    def documents(self) -> int: ...
    @property
    def background(self) -> NDArray[np.int64]: ...

def merge_to_rows(paths: Sequence[str], rows: int, columns: int, memory: int, path: str) -> int: ...
def merge_to_csr(
    paths: Sequence[str],
    rows: int,
    columns: int,
    memory: int,
    threads: int,
    columns_path: str,
    totals_path: str,
    offsets_path: str,
) -> int: ...
def check_rows(path: str, rows: int, columns: int) -> None: ...
def token_places(ids: NDArray[np.uint16] | NDArray[np.uint32], token: int) -> NDArray[np.int64]: ...

class DocumentScorer:
    def __init__(
        self, pivots: NDArray[np.bool_], weights: NDArray[np.float32] | None = None, distinct: bool = False
    ) -> None: ...
    def add(
        self, tokens: NDArray[np.integer], offsets: NDArray[np.int64], continued: bool = False
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]: ...

class TokenCounter:
    def __init__(self, vocabulary: int) -> None: ...
    def add(self, tokens: NDArray[np.integer], offsets: NDArray[np.int64]) -> None: ...
    @property
    def df(self) -> NDArray[np.int64]: ...
    @property
    def documents(self) -> int: ...
    @property
    def tokens(self) -> int: ...

class TokenGraphCounter:
    def __init__(
        self,
        vocabulary: int,
        weights: NDArray[np.int64],
        symmetric: bool,
        memory: int,
        folder: str,
        fan_in: int = 64,
    ) -> None: ...
    def add(
        self, ids: NDArray[np.uint16] | NDArray[np.uint32], offsets: NDArray[np.int64], continued: bool = False
    ) -> None: ...
    def add_rows(
        self, first_row: int, offsets: NDArray[np.int64], columns: NDArray[np.int32], totals: NDArray[np.int64]
    ) -> None: ...
    def spill(self) -> None: ...
    def finish(self, columns: str, totals: str, offsets: str) -> int: ...
    @property
    def documents(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def runs(self) -> int: ...
    @property
    def spilled_bytes(self) -> int: ...
    @property
    def seconds(self) -> dict[str, float]: ...

def call_by_distance(address: int, window: int) -> NDArray[np.float64]: ...
