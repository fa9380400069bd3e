"""Prompts and answers as token ids, with positions found by character offsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Encoded:
    """A prompt with its answer.

    Attributes
    ----------
    ids : tuple of int
        Token ids of the prompt and the whole answer, with the tokenizer's own leading special tokens.
    start : int
        Index of the answer's first token.
    word : int
        Index of the answer's first token that is not blank: a tokenizer may spend a piece on the bare space before a
        word, and what the model says about the word is then read behind that piece.
    offsets : tuple of (int, int)
        The characters of the text that each token stands for; empty where a token stands for none.
    """

    ids: tuple[int, ...]
    start: int
    word: int
    offsets: tuple[tuple[int, int], ...]

    def span(self, begin: int, end: int) -> list[int]:
        """The tokens that hold any of the characters ``begin`` to ``end`` (exclusive)."""
        return [index for index, (first, last) in enumerate(self.offsets) if first < end and last > begin]


def encode(tokenizer: Any, prompts: Sequence[str], answers: Sequence[str]) -> list[Encoded]:
    """Tokenize each ``prompt + answer`` as one text and find the answer by offsets.

    Raises
    ------
    ValueError
        The tokenizer gives no offsets, or an answer has no token that is not blank.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(f"encode: tokenizer must be a fast one that gives offsets; got {type(tokenizer).__name__}")
    texts = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    if not texts:
        return []
    batch = tokenizer(texts, return_offsets_mapping=True)
    encoded = []
    for text, prompt, ids, offsets in zip(texts, prompts, batch["input_ids"], batch["offset_mapping"], strict=True):
        # A token that ends beyond the prompt belongs to the answer even when it begins before: only then is it seen.
        # The answer closes the text, so it is looked for from the end: special tokens there stand for no characters.
        last = len(ids)
        while last and offsets[last - 1][1] <= len(prompt):
            last -= 1
        start = last
        while start and offsets[start - 1][1] > len(prompt):
            start -= 1
        words = (index for index in range(start, last) if text[offsets[index][0] : offsets[index][1]].strip())
        word = next(words, None)
        if word is None:
            raise ValueError(f"encode: answer must have a token that is not blank; got {text[len(prompt) :]!r}")
        encoded.append(Encoded(tuple(ids[:last]), start, word, tuple(offsets[:last])))
    return encoded


def require_room(function: str, longest: int | None, texts: Sequence[Encoded]) -> None:
    """Refuse prompts beyond the model's context of ``longest`` tokens."""
    most = max((len(text.ids) for text in texts), default=0)
    if longest is not None and most > longest:
        raise ValueError(f"{function}: prompt must fit the model's context of {longest} tokens; got {most}")


def pad_right(sequences: Sequence[Sequence[int]], device: torch.device | str) -> torch.Tensor:
    """Sequences of ids as one (B, T) tensor, filled with 0 on the right."""
    width = max(map(len, sequences))
    return torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in sequences], dtype=torch.int64, device=device)
