"""The translation task in lm-evaluation-harness: the files, and what lm-eval makes of them where it is installed."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import orjson
import pyarrow as pa
import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from pivotkit.integrations.lm_eval import export_lm_eval
from pivotkit.lens.model.encoding import encode
from pivotkit.lens.score import score
from pivotkit.words.task import build_task, excluded_items, task_languages, task_prompt


@pytest.fixture(scope="module")
def items(lexicon):
    return build_task(lexicon, ["en-fr", "fr-zh"], limit=3, shots=2, contexts=3, distractors=4)


def documents(folder, pair):
    return [orjson.loads(line) for line in (folder / f"pivotkit_translation_{pair}.jsonl").read_bytes().splitlines()]


def test_every_pair_is_a_task_of_the_group(items, tmp_path):
    path = export_lm_eval(items, tmp_path / "tasks")
    assert path == tmp_path / "tasks" / "pivotkit_translation.yaml"
    group = yaml.safe_load(path.read_text())
    assert group["group"] == "pivotkit_translation"
    assert group["task"] == ["pivotkit_translation_en-fr", "pivotkit_translation_fr-zh"]
    for name in group["task"]:
        task = yaml.safe_load((path.parent / f"{name}.yaml").read_text())
        assert task["task"] == name
        assert task["dataset_kwargs"] == {"data_files": {"test": str(path.parent / f"{name}.jsonl")}}
        assert (task["output_type"], task["num_fewshot"], task["target_delimiter"]) == ("multiple_choice", 0, "")
        fields = orjson.loads((path.parent / f"{name}.jsonl").read_bytes().splitlines()[0])
        assert {task["doc_to_text"], task["doc_to_choice"], task["doc_to_target"]} <= fields.keys()


def test_a_document_is_an_item_in_a_context_word_for_word(items, tmp_path):
    export_lm_eval(items, tmp_path)
    prompt = task_prompt(items)
    written = {
        (found["item"], found["context"]): found for pair in ("en-fr", "fr-zh") for found in documents(tmp_path, pair)
    }
    assert len(written) == items.num_rows * 3
    for row in items.to_pylist():
        for number, context in enumerate(row["contexts"]):
            found = written[row["item"], number]
            assert found["sources"][found["gold"]] == row["source"]
            assert [word for word in found["sources"] if word != row["source"]] == row["distractors"]
            for source, choice in zip(found["sources"], found["choices"], strict=True):
                asked = context + prompt.ask(*task_languages(items, row["pair"]), source)
                assert choice + found["continuation"] == asked + prompt.reply(row["target"])
        assert written[row["item"], 0]["choices"][written[row["item"], 0]["gold"]] == row["prompt"]


def test_the_right_source_stands_at_every_place(lexicon, tmp_path):
    export_lm_eval(build_task(lexicon, ["fr-zh"], shots=2, contexts=5, distractors=3), tmp_path)
    places = np.bincount([found["gold"] for found in documents(tmp_path, "fr-zh")])
    assert places.tolist() == [20, 20, 20, 20]


def test_older_items_without_alternatives_are_exported_the_same(items, tmp_path):
    export_lm_eval(items, tmp_path / "one")
    export_lm_eval(items.drop_columns(["targets", "words", "line", "prompt"]), tmp_path / "other")
    assert documents(tmp_path / "one", "fr-zh") == documents(tmp_path / "other", "fr-zh")


def test_items_whose_words_share_a_piece_are_left_out_where_the_tokenizer_is_known(items, tokenizer, tmp_path):
    alike = items.set_column(
        items.schema.get_field_index("target"), "target", pa.array([items["source"][0], *items["target"][1:]])
    )
    left_out = excluded_items(alike, tokenizer)
    assert left_out[0]
    export_lm_eval(alike, tmp_path, tokenizer=tokenizer)
    written = {found["item"] for pair in ("en-fr", "fr-zh") for found in documents(tmp_path, pair)}
    assert written == {item for item, out in zip(alike["item"].to_pylist(), left_out, strict=True) if not out}


def test_what_cannot_be_exported_is_refused(items, tmp_path):
    with pytest.raises(TypeError, match=r"export_lm_eval: items must be a pyarrow\.Table; got list"):
        export_lm_eval(items.to_pylist(), tmp_path)
    with pytest.raises(ValueError, match=r"items must have the columns .*; got none named contexts"):
        export_lm_eval(items.drop_columns(["contexts"]), tmp_path)
    with pytest.raises(ValueError, match="items must be at least one that is not excluded; got none"):
        export_lm_eval(items.slice(0, 0), tmp_path)
    with pytest.raises(ValueError, match=r"letters, digits, \. _ and -; got '\.\./x_en-fr'"):
        export_lm_eval(items, tmp_path, name="../x")
    place = items.schema.get_field_index("distractors")
    bare = items.set_column(place, items.schema.field(place), pa.array([[]] * items.num_rows, pa.list_(pa.string())))
    with pytest.raises(ValueError, match="items must have distractors and contexts; got none in item 0"):
        export_lm_eval(bare, tmp_path)
    assert not list(tmp_path.glob("*"))


@pytest.mark.filterwarnings("ignore")  # of another project's code
def test_lm_eval_loads_the_group_and_finds_the_same_likelihoods(items, tokenizer, tmp_path, monkeypatch):
    lm_eval = pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=256, initializer_range=0.3,
    )).eval()  # fmt: skip
    export_lm_eval(items, tmp_path)
    found = lm_eval.simple_evaluate(
        model=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4, device="cpu"), tasks=["pivotkit_translation"],
        task_manager=TaskManager(include_path=str(tmp_path)), log_samples=True, bootstrap_iters=0,
    )  # fmt: skip
    losses = defaultdict(list)
    for samples in found["samples"].values():
        for sample in samples:
            document = sample["doc"]
            texts = encode(tokenizer, document["choices"], [document["continuation"]] * len(document["choices"]))
            likelihoods = [float(response[0][0]) for response in sample["resps"]]
            assert sample["acc"] == float(np.argmax(likelihoods) == document["gold"])
            for source, text, likelihood in zip(document["sources"], texts, likelihoods, strict=True):
                losses[document["item"], source].append(-likelihood / (len(text.ids) - text.start))
    for row, scored in zip(items.to_pylist(), score(model, items, tokenizer).to_pylist(), strict=True):
        for source, p in zip(
            [row["source"], *row["distractors"]], [scored["p_gold"], *scored["p_distractors"]], strict=True
        ):
            assert len(losses[row["item"], source]) == 3
            assert np.exp(-np.mean(losses[row["item"], source])) == pytest.approx(p, rel=1e-3)
