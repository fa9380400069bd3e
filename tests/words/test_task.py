"""The translation task: items, distractors and contexts."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pivotkit.artifacts import read_table, write_table
from pivotkit.errors import InputError
from pivotkit.words.lexicon import Lexicon, read_lexicon
from pivotkit.words.prompts import PAPER
from pivotkit.words.task import (
    accepted_targets,
    build_task,
    excluded_items,
    require_tokens,
    task_languages,
    task_prompt,
)

NAMES = {"en": "English", "fr": "French", "zh": "Chinese"}


def lexicon(count: int = 40, **changes: dict[str, str]) -> Lexicon:
    """Concept n is en0, fr0, zh0 and so on; ``r4={"zh": "a|b"}`` gives concept 4 other words."""
    rows = [{code: f"{code}{number}" for code in NAMES} for number in range(count)]
    synonyms = {}
    for place, row in changes.items():
        for code, cell in row.items():
            rows[int(place[1:])][code], *others = cell.split("|")
            synonyms[int(place[1:]), code] = tuple(others)
    return Lexicon(NAMES, rows, [""] * count, synonyms=synonyms)


def test_an_item_holds_the_question_as_the_model_sees_it():
    item = build_task(lexicon(), ["fr-zh"], shots=1, contexts=2, distractors=3).to_pylist()[7]
    assert (item["concept"], item["source"], item["target"]) == ("en7", "fr7", "zh7")
    assert dict(item["words"]) == {"en": "en7", "fr": "fr7", "zh": "zh7"}
    assert item["prompt"] == item["contexts"][0] + "French: fr7\nChinese:"
    assert item["contexts"][0].startswith("Please translate words from French to Chinese.\n\nFrench: fr")
    assert len(item["contexts"]) == 2
    assert len(item["distractors"]) == 3


def test_an_item_accepts_every_synonym_and_shows_the_first():
    items = build_task(lexicon(r7={"zh": "zh7|zh7b", "fr": "fr7|fr7b"}), ["fr-zh"]).to_pylist()
    assert (items[7]["source"], items[7]["target"], items[7]["targets"]) == ("fr7", "zh7", ["zh7", "zh7b"])
    assert items[8]["targets"] == ["zh8"]
    assert not any(word in text for item in items for text in item["contexts"] for word in ("fr7b", "zh7b"))


def test_a_table_without_alternatives_accepts_the_target_alone():
    assert accepted_targets({"target": "chat"}) == ["chat"]
    assert accepted_targets({"target": "chat", "targets": None}) == ["chat"]
    assert accepted_targets({"target": "chat", "targets": ["chat", "minet"]}) == ["chat", "minet"]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), sharing=st.sampled_from(["item", "pair"]))
def test_no_context_shows_the_query_or_a_distractor(seed, sharing):
    for item in build_task(lexicon(), ["fr-zh"], sharing=sharing, seed=seed).to_pylist():
        for context in item["contexts"]:
            shown = {line.removeprefix("French: ") for line in context.splitlines() if line.startswith("French: ")}
            assert len(shown) == 5
            assert shown.isdisjoint({item["source"], *item["distractors"]})


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_distractors_are_different_words_of_other_meanings_near_in_frequency(seed):
    for number, item in enumerate(build_task(lexicon(100), ["fr-zh"], distractors=9, shots=2, seed=seed).to_pylist()):
        distances = [abs(int(word[2:]) - number) for word in item["distractors"]]
        assert len(set(item["distractors"])) == 9
        assert 0 not in distances
        assert max(distances) <= 36


def test_a_distractor_never_shares_a_word_with_the_source_in_any_language():
    # Concepts 3 and 4 share a word in Chinese, 3 and 5 in English: neither may be a distractor of 3.
    synonyms = lexicon(13, r4={"zh": "zh3"}, r5={"en": "en3"})
    item = build_task(synonyms, ["fr-en"], distractors=9, shots=1, contexts=1).to_pylist()[3]
    assert {"fr4", "fr5"}.isdisjoint(item["distractors"])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), sharing=st.sampled_from(["item", "pair"]))
def test_no_synonym_of_an_item_stands_against_it_or_in_its_contexts(seed, sharing):
    # Concept 3 shares an alternative with 4 in French, with 5 in Chinese and with 6 across languages.
    related = lexicon(
        r3={"fr": "fr3|shared", "zh": "zh3|zh3b"}, r4={"fr": "fr4|shared"}, r5={"zh": "zh5|zh3b"}, r6={"en": "en6|zh3b"}
    )
    item = build_task(related, ["fr-zh"], sharing=sharing, seed=seed).to_pylist()[3]
    assert {"fr4", "fr5", "fr6"}.isdisjoint(item["distractors"])
    assert not any(f"French: fr{number}\n" in text for text in item["contexts"] for number in (3, 4, 5, 6))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_no_context_shows_a_synonym_of_a_distractor(seed):
    paired = lexicon(**{f"r{n}": {"fr": f"fr{n}|both{n // 2}"} for n in range(40)})
    for item in build_task(paired, ["fr-zh"], shots=3, contexts=2, distractors=4, seed=seed).to_pylist():
        concepts = {int(word[2:]) // 2 for word in (item["source"], *item["distractors"])}
        shown = {
            int(line[10:]) // 2 for text in item["contexts"] for line in text.splitlines() if line[:8] == "French: "
        }
        assert concepts.isdisjoint(shown)


def test_distractors_share_the_part_of_speech():
    mixed = lexicon(40)
    mixed = Lexicon(mixed.names, mixed.rows, ["noun" if number % 2 else "verb" for number in range(40)])
    for number, item in enumerate(build_task(mixed, ["en-fr"]).to_pylist()):
        assert {int(word[2:]) % 2 for word in item["distractors"]} == {number % 2}


@settings(max_examples=25, deadline=None)
@given(alike=st.integers(1, 9), seed=st.integers(0, 1000))
def test_too_few_words_of_the_part_of_speech_are_completed_from_the_nearest_others(alike, seed):
    verbs = set(range(20, 20 + alike))
    mixed = lexicon(60)
    mixed = Lexicon(mixed.names, mixed.rows, ["verb" if number in verbs else "noun" for number in range(60)])
    item = build_task(mixed, ["en-fr"], shots=2, contexts=1, seed=seed).to_pylist()[20]
    chosen = {int(word[2:]) for word in item["distractors"]}
    assert len(chosen) == 9
    assert verbs - {20} <= chosen
    assert max(abs(number - 20) for number in chosen) <= 36


def test_attributes_are_kept_with_the_item_and_with_its_line(tmp_path):
    lines = ["en\tfr\tpos\ttier", "", *(f"en{n}\tfr{n}\tnoun\t{n or ''}" for n in range(40)), "", ""]
    (tmp_path / "words.tsv").write_text("\n".join(lines))
    write_table(build_task(read_lexicon(tmp_path / "words.tsv"), ["fr-en"]), tmp_path / "items.parquet")
    items = read_table(tmp_path / "items.parquet").to_pylist()
    assert [dict(item["attributes"]) for item in items[:2]] == [{"pos": "noun"}, {"pos": "noun", "tier": "1"}]
    assert [item["line"] for item in items[:2]] == [3, 4]
    assert build_task(lexicon(), ["fr-zh"])["attributes"].to_pylist()[0] == []


PORTUGUESE = ["dog", "cachorro", "cat", "gato", "house", "casa", "water", "água", "tree", "árvore", "book", "livro", "hand", "mão", "eye", "olho", "sun", "sol", "moon", "lua", "fish", "peixe", "bread", "pão", "milk", "leite", "door", "porta", "bed", "cama", "ship", "navio", "road", "estrada"]  # fmt: skip


@pytest.mark.parametrize("codes", [("en", "pt-BR"), ("zh-Hans", "pt-BR"), ("en-GB", "en"), ("pt-br", "en"), ("a", "b")])
@pytest.mark.parametrize("turned", [False, True])
def test_a_code_with_hyphens_works_in_every_pair(tmp_path, tokenizer, codes, turned):
    rows = zip(PORTUGUESE[::2], PORTUGUESE[1::2], strict=True)
    lines = ["\t".join(f"{code}=Name {code}" for code in codes), *("\t".join(row) for row in rows)]
    (tmp_path / "words.tsv").write_text("\n".join(lines))
    source, target = reversed(codes) if turned else codes
    items = build_task(read_lexicon(tmp_path / "words.tsv"), [f"{source}-{target}"], limit=2)
    require_tokens(items, tokenizer, distractors=True)
    assert task_languages(items, f"{source}-{target}") == (f"Name {source}", f"Name {target}")
    row = items.to_pylist()[0]
    assert (row["source"], row["target"]) == (dict(row["words"])[source], dict(row["words"])[target])


def test_shared_contexts_differ_only_where_a_shot_would_leak():
    items = build_task(lexicon(200), ["fr-zh"], sharing="pair").to_pylist()
    first = [item["contexts"][0] for item in items]
    assert len(set(first)) < len(first) / 3


def test_shared_contexts_can_be_asked_for_as_such():
    assert build_task(lexicon(), ["fr-zh"], contexts="shared").equals(
        build_task(lexicon(), ["fr-zh"], contexts=5, sharing="pair"), check_metadata=True
    )


def test_the_same_seed_gives_the_same_items_whatever_else_is_asked():
    alone = build_task(lexicon(), ["fr-zh"], limit=9, seed=3).to_pylist()
    beside = build_task(lexicon(), ["en-fr", "fr-zh"], limit=9, seed=3).to_pylist()[9:]
    assert [item["contexts"] for item in alone] == [item["contexts"] for item in beside]
    assert [item["distractors"] for item in alone] == [item["distractors"] for item in beside]
    other = build_task(lexicon(), ["fr-zh"], limit=9, seed=4).to_pylist()
    assert [item["contexts"] for item in alone] != [item["contexts"] for item in other]


def test_a_concept_without_a_word_in_the_pair_is_no_item():
    holed = lexicon()
    del holed.rows[6]["zh"]
    assert "en6" not in build_task(holed, ["fr-zh"])["concept"].to_pylist()
    assert "en6" in build_task(holed, ["en-fr"])["concept"].to_pylist()


def test_the_file_keeps_prompt_and_languages(tmp_path):
    write_table(build_task(lexicon(), ["fr-zh"]), tmp_path / "items.parquet")
    items = read_table(tmp_path / "items.parquet")
    assert task_prompt(items) == PAPER
    assert task_languages(items, "fr-zh") == ("French", "Chinese")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": ["fr-xx"]}, "language must be one of en, fr, zh; got 'xx' in 'fr-xx'"),
        ({"pairs": ["frzh"]}, "two different language codes"),
        ({"pairs": ["fr-fr"]}, "two different language codes"),
        ({"pairs": []}, "at least one"),
        ({"pairs": ["en-fr", "en-fr"]}, "different pairs"),
        ({"limit": 0}, "limit must be at least 1; got 0"),
        ({"distractors": 0}, "distractors must be at least 1; got 0"),
        ({"contexts": 0}, "contexts must be at least 1"),
        ({"contexts": "pair"}, "contexts must be a number or 'shared'; got 'pair'"),
        ({"sharing": "all"}, "sharing must be 'item' or 'pair'; got 'all'"),
        ({"shots": 40}, "lexicon must have 50 concepts with words in fr-zh"),
    ],
)
def test_a_wrong_argument_is_refused(change, message):
    arguments = {"pairs": ["fr-zh"], **change}
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        build_task(lexicon(), **arguments)


def test_a_word_the_tokenizer_cannot_write_is_refused_with_its_line(tmp_path):
    vocabulary = {"<unk>": 0} | {f"{code}{n}": 3 * n + place for n in range(40) for place, code in enumerate(NAMES, 1)}
    del vocabulary["zh7"]
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")
    lines = ["en\tfr\tzh", *(f"en{n}\tfr{n}\tzh{n}" for n in range(40))]
    (tmp_path / "words.tsv").write_text("\n".join(lines))
    read = read_lexicon(tmp_path / "words.tsv")
    require_tokens(build_task(read, ["en-fr"]), tokenizer)
    with pytest.raises(InputError, match=r"words.tsv, line 9: column zh must hold a word .* a token for; got 'zh7'"):
        require_tokens(build_task(read, ["fr-zh"]), tokenizer)


def test_an_alternative_the_tokenizer_cannot_write_is_refused_too(tokenizer):
    require_tokens(build_task(lexicon(r7={"zh": "zh7|zh"}), ["fr-zh"]), tokenizer)
    with pytest.raises(InputError, match=r"line 9: column zh must hold a word .* a token for; got '<bos>'"):
        require_tokens(build_task(lexicon(r7={"zh": "zh7|<bos>"}), ["fr-zh"]), tokenizer)


def test_a_table_without_alternatives_is_checked_for_tokens(tokenizer):
    require_tokens(build_task(lexicon(), ["fr-zh"]).drop_columns(["targets"]), tokenizer)


def test_items_whose_words_share_a_piece_are_excluded(tokenizer):
    items = pa.table({"source": ["rose", "dog", "star", "房子"], "target": ["rose", "chien", "start", "房间"]})
    assert excluded_items(items, tokenizer).tolist() == [True, False, True, True]
    assert excluded_items(items.slice(0, 0), tokenizer).tolist() == []
    with pytest.raises(ValueError, match="excluded_items: items must have the columns source, target"):
        excluded_items(items.drop_columns(["target"]), tokenizer)
