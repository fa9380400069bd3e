"""What the objects of pivotkit.lens show of themselves: one short line, and no numbers of a tensor."""

from __future__ import annotations

import numpy as np
import torch

from pivotkit.lens.first_choices import first_choices
from pivotkit.lens.fitted.tuned import TunedLens
from pivotkit.lens.model.encoding import encode
from pivotkit.lens.model.families import hidden_operations
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.observe import observe
from pivotkit.lens.model.prefix_tree import PrefixTree
from pivotkit.lens.specific_tokens import SPECIFIC_TOKENS
from pivotkit.lens.strict_rule import Judged, Steps
from pivotkit.lens.trace import trace


def test_a_head_shows_its_model(llama, tokenizer):
    head = LensHead.from_model(llama)
    expected = f"LensHead(LlamaModel, blocks=3, vocabulary={len(tokenizer)}, width=32, dtype=float32)"
    assert repr(head) == expected


def test_a_tuned_lens_shows_its_size():
    lens = TunedLens((torch.eye(4),) * 3, None, "gpt2", None)
    assert repr(lens) == "TunedLens(layers=3, width=4, model='gpt2')"


def test_an_observation_shows_its_modules(llama):
    ids = torch.tensor([[1, 2, 3]])
    with torch.inference_mode():
        observed = observe(llama, llama.model, llama.lm_head, ids, hidden_operations(llama.config))
    assert repr(observed) == "Observation(blocks=3, chain=['LlamaRMSNorm'])"


def test_an_encoded_prompt_shows_where_its_answer_starts(tokenizer):
    [text] = encode(tokenizer, ["French: chien\nEnglish:"], [" dog"])
    at = text.answer_start
    assert repr(text) == f"Encoded(tokens={len(text.ids)}, answer_start={at}, word_start={at}, telling={at})"


def test_a_prefix_tree_shows_how_many_rows_it_gives():
    assert repr(PrefixTree([(1, 2, 3), (1, 2, 4)], [[1, 2], [1, 2]])) == "PrefixTree(sequences=2, rows=3)"


def test_first_choices_show_their_size(llama, items, tokenizer):
    seen = first_choices("test", trace(llama, items, tokenizer))
    assert repr(seen) == f"FirstChoices(items={items.num_rows}, blocks=3)"


def test_steps_and_what_they_say_show_their_size():
    steps = Steps(SPECIFIC_TOKENS.empty_table(), np.zeros(0, np.int64), np.ones(3, bool))
    assert repr(steps) == "Steps(items=3, tokens=0)"
    assert repr(Judged(np.array(["copy"] * 3), np.zeros(3, np.int64), [[]] * 3)) == "Judged(items=3)"
