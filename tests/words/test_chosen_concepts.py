"""A limit leaves the same concepts in every pair, from frequent to rare."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.artifacts import table_metadata
from pivotkit.cli import main
from pivotkit.words.chosen_concepts import LIMIT_BY, chosen_concepts
from pivotkit.words.lexicon import Lexicon, read_lexicon
from pivotkit.words.task import build_task

PAIRS = ("en-fr", "fr-zh", "zh-en", "fr-en")
rows = st.sets(st.integers(0, 30), min_size=1).map(sorted)


def lexicon(count=40, holes=()):
    """Concept n is en0, fr0, zh0 and so on, without Chinese for those in ``holes``."""
    words = [
        {code: f"{code}{n}" for code in ("en", "fr", "zh") if code != "zh" or n not in holes} for n in range(count)
    ]
    return Lexicon({"en": "English", "fr": "French", "zh": "Chinese"}, words, [""] * count)


def concepts(table):
    found = {}
    for pair, concept in zip(table["pair"].to_pylist(), table["concept"].to_pylist(), strict=True):
        found.setdefault(pair, []).append(concept)
    return found


@pytest.mark.parametrize("limit_by", LIMIT_BY)
def test_every_pair_asks_for_the_same_concepts_which_all_have(limit_by):
    holes = {0, 3, 4, 20}
    found = concepts(build_task(lexicon(holes=holes), PAIRS, limit=10, limit_by=limit_by))
    assert set(found) == set(PAIRS)
    assert len({tuple(names) for names in found.values()}) == 1
    assert not {f"en{hole}" for hole in holes} & set(found["en-fr"])


def test_the_frequent_ones_are_the_first_rows():
    table = build_task(lexicon(holes={0, 3}), PAIRS, limit=4)
    assert concepts(table)["fr-en"] == ["en1", "en2", "en4", "en5"]
    assert table_metadata(table)["concepts"] == {"chosen": 4, "shared": 38}


def test_strata_hold_the_middle_of_each_class_of_frequency():
    table = build_task(lexicon(), PAIRS, limit=4, limit_by="stratified")
    assert concepts(table)["fr-zh"] == ["en5", "en15", "en25", "en35"]


@given(st.lists(rows, min_size=1, max_size=4), st.integers(1, 40), st.sampled_from(LIMIT_BY))
def test_as_many_as_the_limit_or_all_that_are_shared(having, limit, limit_by):
    shared = set.intersection(*map(set, having))
    if not shared:
        return
    found = chosen_concepts({str(n): own for n, own in enumerate(having)}, limit, limit_by)
    for chosen in found.values():
        assert chosen == sorted(set(chosen) & shared)
        assert len(chosen) == min(limit, len(shared))


@given(rows, st.integers(1, 40))
def test_each_class_gives_one_concept(having, limit):
    chosen = chosen_concepts({"a-b": having}, limit, "stratified")["a-b"]
    count, many = len(chosen), len(having)
    middles = [having.index(row) + 0.5 for row in chosen]
    assert [int(middle * count / many) for middle in middles] == list(range(count))


def test_the_seed_does_not_choose():
    one, other = (concepts(build_task(lexicon(), PAIRS, limit=9, limit_by="stratified", seed=seed)) for seed in (1, 2))
    assert one == other


def test_without_a_limit_each_pair_has_all_of_its_own():
    found = concepts(build_task(lexicon(holes={1}), ["en-fr", "fr-zh"]))
    assert (len(found["en-fr"]), len(found["fr-zh"])) == (40, 39)


def test_pairs_without_a_common_concept_are_refused_with_a_limit():
    words = [{"en": f"en{n}", "fr" if n % 2 else "zh": f"other{n}"} for n in range(60)]
    apart = Lexicon({"en": "English", "fr": "French", "zh": "Chinese"}, words, [""] * 60)
    told = r"pairs must have concepts in common; got none \(en-fr has 30, en-zh has 30\); leave out a pair"
    with pytest.raises(ValueError, match=told):
        build_task(apart, ["en-fr", "en-zh"], limit=5)


def test_a_lexicon_of_one_concept_says_what_is_missing(tmp_path):
    (tmp_path / "one.tsv").write_text("en\tfr\ndog\tchien\n")
    told = "must have 15 concepts with words in en-fr .* got 1: add concepts, or ask for fewer distractors or shots"
    with pytest.raises(ValueError, match=told):
        build_task(read_lexicon(tmp_path / "one.tsv"), ["en-fr"])


def test_the_command_says_where_fewer_are_shared_than_asked_for(tmp_path, capsys):
    lines = ["en\tfr\tzh", *(f"en{n}\tfr{n}\t{f'zh{n}' * (n > 3)}" for n in range(20))]
    (tmp_path / "words.tsv").write_text("\n".join(lines))
    task = ["task", str(tmp_path / "run"), "--lexicon", str(tmp_path / "words.tsv"), "--pairs", "en-fr,fr-zh"]
    assert main([*task, "--limit", "18"]) == 0
    assert "task: 16 concepts are in all pairs, fewer than the limit of 18" in capsys.readouterr().err
    assert main([*task, "--limit", "16"]) == 0
    assert "fewer than the limit" not in capsys.readouterr().err


def test_the_command_refuses_a_choice_without_a_limit(tmp_path, capsys):
    (tmp_path / "words.tsv").write_text("\n".join(["en\tfr", *(f"en{n}\tfr{n}" for n in range(20))]))
    task = ["task", str(tmp_path / "run"), "--lexicon", str(tmp_path / "words.tsv"), "--pairs", "en-fr"]
    assert main([*task, "--limit-by", "stratified"]) == 2
    assert "--limit-by must be given with --limit; got no --limit" in capsys.readouterr().err
    assert main([*task, "--limit-by", "stratified", "--limit", "5"]) == 0
