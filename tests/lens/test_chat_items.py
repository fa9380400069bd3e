"""Scores, traces and causal tests of items that are conversations."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from pivotkit.integrations.lm_eval import export_lm_eval
from pivotkit.lens.model.encoding import encode_items
from pivotkit.lens.reference import reference_lens, reference_score
from pivotkit.lens.score import score
from pivotkit.lens.trace import trace
from pivotkit.words.task import build_task

TEMPLATE = (
    "<bos>{% for turn in messages %}[{{ turn['role'] }}]{{ turn['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="module")
def talking(tokenizer):
    own = copy.deepcopy(tokenizer)
    own.chat_template = TEMPLATE
    return own


@pytest.fixture(scope="module")
def talks(lexicon, talking):
    small = {"limit": 3, "shots": 1, "contexts": 2, "distractors": 3}
    return build_task(lexicon, ["en-fr", "fr-en"], chat=True, tokenizer=talking, **small)


def test_the_ids_are_those_of_the_chat_template(talks, talking):
    for text, row in zip(encode_items(talking, talks), talks.to_pylist(), strict=True):
        shot, asked = row["prompt"].split("\n[user]")[0].split("[user]")[1], row["prompt"].split("[user]")[-1]
        source, target = shot.split("\n[assistant]")
        turns = [("user", source), ("assistant", target), ("user", asked.removesuffix("\n[assistant]"))]
        messages = [{"role": role, "content": content} for role, content in turns]
        whole = talking.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert list(text.ids[: text.answer_start]) == list(whole)
        assert text.ids.count(talking.bos_token_id) == 1


def test_the_answer_is_read_at_the_last_token_before_the_reply(model, talks, talking):
    texts = {row["item"]: text for row, text in zip(talks.to_pylist(), encode_items(talking, talks), strict=True)}
    table = trace(model, talks, talking, k=3, positions=["answer", "source"])
    for row in table.filter(np.array(table["label"].to_pylist()) == "answer").to_pylist():
        text = texts[row["item"]]
        assert row["position"] == text.answer_start - 1 + row["target_piece"]
        logprobs = reference_lens(model, torch.tensor(text.ids[: row["position"] + 1]))[row["layer"], -1]
        assert row["top_logprobs"] == pytest.approx(logprobs.topk(3).values.tolist(), abs=1e-3)
    by_item = {}
    for row in table.filter(np.array(table["label"].to_pylist()) == "source").to_pylist():
        by_item.setdefault(row["item"], {})[row["position"]] = row["token"]
    for row in talks.to_pylist():
        assert row["source"] in "".join(by_item[row["item"]][at] for at in sorted(by_item[row["item"]]))


def test_scores_are_those_of_whole_sequences(model, talks, talking):
    found = score(model, talks, talking)["score"].to_pylist()
    assert found == pytest.approx(list(reference_score(model, talks, talking)), abs=1e-5)


def test_an_exported_task_asks_as_the_conversation_does(tmp_path, talks):
    export_lm_eval(talks, tmp_path)
    lines = (tmp_path / "pivotkit_translation_en-fr.jsonl").read_text().splitlines()
    assert len(lines) == 6
    assert all("[assistant]" in line for line in lines)
