"""The world's tokenizer: one token per word, tag or newline; spaces only separate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from tokenizers.pre_tokenizers import Split

from pivotkit.testbed.world import BOS, UNKNOWN

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def build_tokenizer(vocabulary: Sequence[str]) -> PreTrainedTokenizerFast:
    """Make a fast tokenizer; a token's id is its place in ``vocabulary``.

    Parameters
    ----------
    vocabulary : sequence of str
        `World.vocabulary`, with the special tokens ``<s>`` and ``<unk>``.

    Returns
    -------
    transformers.PreTrainedTokenizerFast
        Adds no special token by itself and gives offsets. `AutoTokenizer` loads what its ``save_pretrained`` wrote.

    Examples
    --------
    >>> from pivotkit.testbed import World, WorldConfig, build_tokenizer
    >>> tokenizer = build_tokenizer(World(WorldConfig(concepts=8, held_out=4, background=4)).vocabulary)
    >>> tokenizer.tokenize("A: a1 B: b1\\nA: a2 B:")
    ['A:', 'a1', 'B:', 'b1', '\\n', 'A:', 'a2', 'B:']
    """
    from transformers import PreTrainedTokenizerFast

    tokens = Tokenizer(WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token=UNKNOWN))
    tokens.pre_tokenizer = PreTokenizers([Split(Regex(r"[^\S\n]+"), "removed"), Split("\n", "isolated")])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokens,
        bos_token=BOS,
        eos_token=BOS,
        pad_token=BOS,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )
