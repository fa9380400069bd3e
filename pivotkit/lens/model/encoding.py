"""Prompts and answers as token ids; character offsets give the positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pivotkit.arguments import refuse, refuse_kind
from pivotkit.words.task import task_prompt
from pivotkit.words.telling import telling_piece

if TYPE_CHECKING:  # places are found without torch, too
    import torch


@dataclass(frozen=True)
class Encoded:
    """A prompt with its answer.

    Attributes
    ----------
    ids : tuple of int
        Token ids of the prompt and the whole answer, with the tokenizer's own leading special tokens.
    answer_start : int
        Index of the answer's first token.
    word_start : int
        Index of the answer's first token that is not blank. A tokenizer may give the space before a word a token of its
        own.
    telling : int
        Index of the answer's first token that tells it apart from other words (`telling_piece`). The model's prediction
        of the word is read before it, with the answer's tokens up to it appended to the prompt.
    offsets : tuple of (int, int)
        The characters of the text that each token stands for; an empty range for a token that stands for none.
    """

    ids: tuple[int, ...]
    answer_start: int
    word_start: int
    telling: int
    offsets: tuple[tuple[int, int], ...]

    def __repr__(self) -> str:
        places = f"answer_start={self.answer_start}, word_start={self.word_start}, telling={self.telling}"
        return f"Encoded(tokens={len(self.ids)}, {places})"

    @property
    def appended(self) -> tuple[int, ...]:
        """The answer's tokens before the one that tells it apart: other words share them."""
        return self.ids[self.answer_start : self.telling]

    def span(self, begin: int, end: int) -> list[int]:
        """Indices of the tokens that hold any of the characters ``begin`` to ``end`` (exclusive)."""
        return [index for index, (first, last) in enumerate(self.offsets) if first < end and last > begin]


def encode(
    tokenizer: Any, prompts: Sequence[str], answers: Sequence[str], *, special_tokens: bool = True
) -> list[Encoded]:
    """Tokenize each ``prompt + answer`` as one text and find the answer by character offsets.

    Parameters
    ----------
    tokenizer : a fast Hugging Face tokenizer
    prompts, answers : sequences of str of one length
    special_tokens : bool, default True
        Whether the tokenizer adds its own special tokens; a chat's prompts hold them as text.

    Returns
    -------
    list of Encoded

    Raises
    ------
    ValueError
        The tokenizer gives no offsets, or an answer has only blank tokens.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(f"encode: tokenizer must be a fast one that gives offsets; got {type(tokenizer).__name__}")
    texts = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    if not texts:
        return []
    batch = tokenizer(texts, return_offsets_mapping=True, add_special_tokens=special_tokens)
    encoded = []
    for text, prompt, ids, offsets in zip(texts, prompts, batch["input_ids"], batch["offset_mapping"], strict=True):
        # A token that ends after the prompt belongs to the answer, even if it begins inside the prompt.
        # The search runs from the end, because special tokens there have empty offsets.
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
        telling = word + telling_piece(tokenizer, ids[word:last])
        encoded.append(Encoded(tuple(ids[:last]), start, word, telling, tuple(offsets[:last])))
    return encoded


def encode_items(tokenizer: Any, items: pa.Table) -> list[Encoded]:
    """The prompt and the target of each item (`encode`)."""
    prompt, rows = task_prompt(items), items.select(["prompt", "target"]).to_pylist()
    texts, answers = [row["prompt"] for row in rows], [prompt.reply(row["target"]) for row in rows]
    return encode(tokenizer, texts, answers, special_tokens=prompt.special_tokens)


def require_tokenizer(function: str, tokenizer: Any) -> None:
    """Refuse what is no fast Hugging Face tokenizer."""
    if not hasattr(tokenizer, "is_fast") or not callable(tokenizer) or isinstance(tokenizer, type):
        refuse_kind(function, "tokenizer", "be a fast Hugging Face tokenizer", tokenizer)
    if not tokenizer.is_fast:
        refuse(function, "tokenizer", "be a fast one that gives offsets", tokenizer)


def require_same_vocabulary(function: str, vocabulary: int, texts: Sequence[Encoded]) -> None:
    """Refuse ids that the model lacks, which are those of another model's tokenizer."""
    most = max((max(text.ids) for text in texts), default=0)
    if most >= vocabulary:
        refuse(function, "tokenizer", f"be the model's own, with ids below {vocabulary}", most)


def require_room(function: str, longest: int | None, texts: Sequence[Encoded]) -> None:
    """Refuse prompts that are longer than the model's context of ``longest`` tokens; None means no limit."""
    most = max((len(text.ids) for text in texts), default=0)
    if longest is not None and most > longest:
        raise ValueError(f"{function}: prompt must fit the model's context of {longest} tokens; got {most}")


def pad_right(sequences: Sequence[Sequence[int]], device: torch.device | str) -> torch.Tensor:
    """Sequences of ids as one (B, T) int64 tensor, padded with 0 on the right."""
    import torch

    width = max(map(len, sequences))
    return torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in sequences], dtype=torch.int64, device=device)
