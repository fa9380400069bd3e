"""The same documents with each pivot replaced by another: token ids are, and texts are decoded from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from pivotkit.arguments import check_strings, kind, refuse, refuse_kind
from pivotkit.corpus.reading.token_blocks import TokenBlock
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.encode import encode, tokenizer_core
from pivotkit.corpus.token_store.store import TokenStore

TEXTS = 1024  # at a time
Tokens = TypeVar("Tokens", TokenStore, TokenFiles)
NewIds = npt.NDArray[np.integer]


class ShuffledStore(TokenStore):
    """A store whose ids are read as others."""

    new_ids: NewIds

    def blocks(self, *arguments: Any, **options: Any) -> Iterator[TokenBlock]:
        return _replaced(super().blocks(*arguments, **options), self.new_ids)

    def ids(self, unit: Unit) -> npt.NDArray[np.uint32]:
        return self.new_ids.astype(np.uint32)[super().ids(unit)]

    def read(self, unit: Unit, begin: int, end: int) -> npt.NDArray[np.uint32]:
        return self.new_ids.astype(np.uint32)[super().read(unit, begin, end)]

    def identity(self) -> dict[str, Any]:
        return super().identity() | _identity(self.new_ids)


class ShuffledFiles(TokenFiles):
    """Token files whose ids are read as others."""

    new_ids: NewIds

    def blocks(self, *arguments: Any, **options: Any) -> Iterator[TokenBlock]:
        return _replaced(super().blocks(*arguments, **options), self.new_ids)

    def identity(self) -> dict[str, Any]:
        return super().identity() | _identity(self.new_ids)


@overload
def shuffle_pivots(corpus: Tokens, permutation: NewIds, tokenizer: None = None) -> Tokens: ...
@overload
def shuffle_pivots(corpus: Iterable[str], permutation: NewIds, tokenizer: Any) -> Iterator[str]: ...
def shuffle_pivots(corpus: Any, permutation: NewIds, tokenizer: Any = None) -> Any:
    """Replace the pivots in documents by those that a permutation puts in their place.

    ``[permutation[ids] for ids in documents]``.

    Parameters
    ----------
    corpus : TokenStore, TokenFiles, or iterable of str
        Documents.
    permutation : array (V,) of integers
        The new id of each id, as `pivot_permutation` draws it.
    tokenizer : fast tokenizer, ``tokenizers.Tokenizer`` or path, optional
        For texts, and only for them, as for `tokenize`.

    Returns
    -------
    TokenStore, TokenFiles, or iterator of str
        The same corpus, whose ids are replaced as they are read: `write_selection` takes it. Or texts, one for each,
        decoded from as many ids; a text without such a token stays as it is.

    Raises
    ------
    TypeError
        For another kind of corpus; texts without a tokenizer, or tokens with one; ids that are no integers.
    ValueError
        For what is no permutation of the corpus's or the tokenizer's ids.

    Notes
    -----
    Where documents end is found before ids are replaced. Decoded text may be cut into other tokens when it is read
    again; token files keep the ids.

    Examples
    --------
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> tokenizer = Tokenizer(models.WordLevel({"chat": 0, "cat": 1, "dog": 2}, unk_token="chat"))
    >>> tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> list(shuffle_pivots(["chat cat cat", "chat"], np.array([0, 2, 1]), tokenizer))
    ['chat dog dog', 'chat']
    """
    function = "shuffle_pivots"
    new_ids = permutation
    if not isinstance(new_ids, np.ndarray) or new_ids.ndim != 1 or new_ids.dtype.kind not in "iu":
        refuse_kind(function, "permutation", "be integers (V,)", permutation)
    if isinstance(corpus, TokenStore | TokenFiles):
        if tokenizer is not None:
            refuse(function, "tokenizer", f"be None for {kind(corpus)}", tokenizer)
        _check_permutation(function, new_ids, corpus.vocab_size)
        shuffled = object.__new__(ShuffledStore if isinstance(corpus, TokenStore) else ShuffledFiles)
        shuffled.__dict__.update(corpus.__dict__, new_ids=new_ids)
        return shuffled
    if isinstance(corpus, str | bytes) or not isinstance(corpus, Iterable):
        refuse_kind(function, "corpus", "be a TokenStore, TokenFiles or texts", corpus)
    if tokenizer is None:
        refuse_kind(function, "corpus", "be a TokenStore or TokenFiles, or texts with a tokenizer", corpus)
    core, _ = tokenizer_core(function, tokenizer)
    _check_permutation(function, new_ids, max(core.get_vocab(with_added_tokens=True).values()) + 1)
    return _texts(corpus, new_ids, core)


def _check_permutation(function: str, new_ids: NewIds, least: int) -> None:
    if len(new_ids) < least:
        refuse(function, "permutation", f"have the new id of each of {least} ids", len(new_ids))
    if not np.array_equal(np.sort(new_ids), np.arange(len(new_ids))):
        raise ValueError(f"{function}: permutation must have each id once; got others")


def _texts(texts: Iterable[str], new_ids: NewIds, core: Any) -> Iterator[str]:
    stream = iter(texts)
    while listed := check_strings("shuffle_pivots", "corpus", islice(stream, TEXTS)):
        documents = (
            ids[begin:end] for ids, offsets in encode(core, listed) for begin, end in pairwise(offsets.tolist())
        )
        for text, ids in zip(listed, documents, strict=True):
            replaced = new_ids[ids]
            yield text if (replaced == ids).all() else core.decode(replaced.tolist(), skip_special_tokens=False)


def _replaced(blocks: Iterator[TokenBlock], new_ids: NewIds) -> Iterator[TokenBlock]:
    for block in blocks:
        yield block._replace(ids=new_ids.astype(block.ids.dtype)[block.ids])


def _identity(new_ids: NewIds) -> dict[str, Any]:
    return {"replaced": hashlib.sha256(new_ids.astype("<i8").tobytes()).hexdigest()}
