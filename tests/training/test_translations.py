"""Sentences come from tables by language; chrF is sacrebleu's, of the first line that the model says."""

from __future__ import annotations

import pytest
import torch
import zstandard
from transformers import AutoModelForCausalLM, AutoTokenizer

from pivotkit.errors import InputError
from pivotkit.training.translations import Sentences, read_sentences, translate


def table(rows, head="id\ten\tfr\tde\n"):
    return head + "".join("\t".join(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path):
    rows = [(str(n), f"word {n}", f"mot {n}", "" if n % 2 else f"Wort {n}") for n in range(20)]
    (tmp_path / "a.tsv").write_text(table(rows), encoding="utf-8")
    more = [("1", f"字 {n}", f"word {n}") for n in range(9)]
    (tmp_path / "b.tsv.zst").write_bytes(zstandard.compress(table(more, "id\tzh\ten\n").encode()))
    return tmp_path


def test_sentences_are_those_with_both_languages_and_none_is_a_shot_and_a_line(folder):
    found = read_sentences("f", folder, ["en-fr", "fr-de", "zh-en", "fr-zh"], 5, 0)
    assert list(found) == ["en-fr", "fr-de", "zh-en"]  # no table has fr and zh
    for pair, own in found.items():
        assert (len(own.shots), len(own.lines)) == (3, 5)
        assert not set(own.shots) & set(own.lines)
        numbers = {one.split()[1] == other.split()[1] for one, other in own.lines}
        assert numbers == {True}, pair
    assert all(int(source.split()[1]) % 2 == 0 for source, _ in found["fr-de"].lines)
    assert read_sentences("f", folder, ["en-fr"], 5, 0) == {"en-fr": found["en-fr"]}
    assert read_sentences("f", folder, ["en-fr"], 5, 1) != {"en-fr": found["en-fr"]}


def test_a_pair_with_fewer_sentences_takes_what_there_is(folder):
    few = read_sentences("f", folder, ["fr-de", "zh-en"], 8, 0)
    assert {pair: (len(own.shots), len(own.lines)) for pair, own in few.items()} == {"fr-de": (3, 7), "zh-en": (3, 6)}
    exact = read_sentences("f", folder, ["fr-de"], 7, 0)
    assert exact == {"fr-de": few["fr-de"]}


def test_too_few_sentences_for_one_beside_the_shown_are_refused_with_their_number(folder):
    (folder / "c.tsv").write_text(table([(str(n), f"ord {n}", f"Wort {n}") for n in range(3)], "id\tsv\tde\n"))
    with pytest.raises(InputError, match=r"f must find 4 sentences of sv-de of at most 200 characters; got 3"):
        read_sentences("f", folder, ["sv-de"], 10, 0)
    (folder / "none").mkdir()
    with pytest.raises(InputError, match=r"must hold .tsv or .tsv.zst files; found none"):
        read_sentences("f", folder / "none", ["fr-de"], 10, 0)


def test_tables_without_any_of_the_pairs_are_refused(folder):
    with pytest.raises(InputError, match="f must find sentences of en-xx or xx-en; found none"):
        read_sentences("f", folder, ["en-xx", "xx-en"], 5, 0)


def test_the_prompt_shows_the_examples_and_leaves_the_last_line_open():
    own = Sentences("en-fr", [("Hello.", "Bonjour.")], [("Thanks.", "Merci.")])
    assert own.prompt("Thanks.") == "English: Hello.\nFrench: Bonjour.\n\nEnglish: Thanks.\nFrench:"


def test_translations_are_those_of_greedy_decoding_alone_and_scored_by_sacrebleu(given):
    sacrebleu = pytest.importorskip("sacrebleu")
    model = AutoModelForCausalLM.from_pretrained(given / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(given / "model")
    own = Sentences("a-b", [("a1 a2", "b1 b2")], [("a3", "b3"), ("a4 a5 a6 a1 a2", "b4 b5"), ("a7 a8", "b7 b8")])
    found, scores = translate(model, tokenizer, {"a-b": own})
    said = []
    for source, _ in own.lines:  # one at a time, without padding
        ids = tokenizer(own.prompt(source), return_tensors="pt")["input_ids"]
        made: list[int] = []
        with torch.no_grad():
            while len(made) < 96:
                made.append(
                    int(model(torch.cat([ids[0], torch.tensor(made, dtype=torch.int64)])[None]).logits[0, -1].argmax())
                )
                if "\n" in tokenizer.decode(made[-1:]) or made[-1] == model.generation_config.eos_token_id:
                    break
        said.append(tokenizer.decode(made, skip_special_tokens=True).strip().split("\n")[0].strip())
    assert found["translation"].to_pylist() == said
    expected = sacrebleu.corpus_chrf(said, [[reference for _, reference in own.lines]]).score
    assert scores["a-b"]["chrF"] == pytest.approx(expected)
    assert scores["a-b"]["lines"] == 3
