"""What a run found, in sentences: on made numbers in every direction."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest

from pivotkit.attribution.attribute import attribute
from pivotkit.attribution.finding import VERDICTS, finding, verdict

PAIRS = ("fr-zh", "zh-fr")
DIGITS = re.compile(r"\d")
SIZE = re.compile(r"\bn \d+|\d+ (items?|concepts?|pairs?|layers?)\b")


def made(tells, n=80, seed=0, behaviors=None):
    """Tables of ``n`` concepts in two pairs; ``tells`` says how the chance of co-occurrence follows log co-occurrence."""
    draw = np.random.default_rng(seed)
    frequent = np.exp(draw.uniform(4, 9, n) + draw.uniform(0, 1, (2, n))).astype(int)
    both = (frequent.min(axis=0) * draw.random(n)).astype(int)
    items, seen, scores = [], [], []
    for pair in PAIRS:
        for concept in range(n):
            key = {"item": len(items), "pair": pair}
            words = [f"{code}{concept}" for code in pair.split("-")]
            items.append(key | {"concept": f"c{concept}", "source": words[0], "target": words[1]})
            direct = draw.random() < tells(concept, both, frequent)
            behavior = behaviors[len(seen) % len(behaviors)] if behaviors else "co-occurrence" if direct else "pivot"
            seen.append(
                key | {"rule": "strict", "behavior": behavior, "correct": behavior not in ("other", "excluded")}
            )
            scores.append(key | {"score": float(draw.normal(0.1 * direct, 0.1))})
    counts = [
        {"source": f"fr{c}", "target": f"zh{c}", "df_source": int(frequent[0, c]), "df_target": int(frequent[1, c]),
         "df_both": int(both[c])} for c in range(n)
    ]  # fmt: skip
    tables = {"behaviors": seen, "pairs": counts, "items": items, "scores": scores}
    return {name: pa.Table.from_pylist(rows) for name, rows in tables.items()}


def with_co_occurrence(concept, both, frequent):
    return 0.95 if both[concept] > np.median(both) else 0.05


def against_co_occurrence(concept, both, frequent):
    return 1 - with_co_occurrence(concept, both, frequent)


def with_frequency(concept, both, frequent):
    return 0.9 if frequent[:, concept].sum() > np.median(frequent.sum(axis=0)) else 0.1


def by_chance(concept, both, frequent):
    return 0.5


def said(world, **more):
    found = attribute(**world, bootstrap=100, permutations=100)
    return finding(found, world["behaviors"], world["items"], **more)


def texts(told, kind):
    return [sentence["text"] for sentence in told if sentence["kind"] == kind]


@pytest.mark.parametrize(
    ("tells", "name"),
    [
        (with_co_occurrence, "holds"),
        (against_co_occurrence, "fails"),
        (with_frequency, "frequency"),
        (by_chance, "open"),
    ],
)
def test_the_first_finding_is_the_verdict_on_the_claim(tells, name):
    told = said(made(tells))
    assert texts(told, "finding")[0] == VERDICTS[name]
    assert [sentence["kind"] for sentence in told] == sorted(sentence["kind"] for sentence in told)


@pytest.mark.parametrize("tells", [with_co_occurrence, against_co_occurrence, by_chance])
def test_every_figure_stands_with_the_number_of_its_items_and_estimates_with_their_interval(tells):
    told = said(made(tells), mass=measured(), agreement=measured(documents="all"), effects=changed(-0.4, -0.2))
    assert {frozenset(sentence) for sentence in told} == {frozenset(("text", "kind"))}
    for sentence in told:
        text = sentence["text"]
        if DIGITS.search(text) and text not in VERDICTS.values():
            assert SIZE.search(text), text
        assert text.endswith(".")
        if re.search(r"AUC of|AUC would|[Dd]ifference -?\d|Correlation", text):
            assert re.search(r"\[-?[\d.e-]+, -?[\d.e-]+\]", text), text


@pytest.mark.parametrize(
    ("behaviors", "why"),
    [(["pivot"], "no item shows co-occurrence behavior"), (["co-occurrence"], "no item shows pivot behavior")],
)
def test_an_empty_class_cannot_be_told(behaviors, why):
    told = said(made(by_chance, behaviors=behaviors))
    assert texts(told, "finding")[0].endswith(f"cannot be told: {why}.")
    assert any(f"2 of 2 pairs have no AUC of their own (fr-zh: {why}" in text for text in texts(told, "caveat"))


@pytest.mark.parametrize(("concepts", "told_as"), [(1, "1 concept"), (9, "9 concepts")])
def test_of_fewer_than_ten_concepts_nothing_is_told(concepts, told_as):
    world = made(with_co_occurrence)
    names = pa.array([f"c{row % concepts}" for row in range(160)])
    told = said(world | {"items": world["items"].set_column(2, "concept", names)})
    why = f"the items are of {told_as}; 10 are needed"
    assert texts(told, "finding")[0].endswith(f"cannot be told: {why}.")
    assert not any("[" in sentence["text"] for sentence in told)


def test_items_that_show_nothing_are_said_so():
    told = said(made(by_chance, behaviors=["other", "excluded"]))
    assert "160 of 160 items (80 concepts, 2 pairs) say nothing: 80 are answered wrongly, 80 are excluded." in texts(
        told, "caveat"
    )
    assert "No item of 160 shows co-occurrence, copy or a pivot." in texts(told, "finding")


def test_a_run_without_the_strict_rule_says_nothing_of_the_claim():
    world = made(by_chance)
    world["behaviors"] = world["behaviors"].set_column(2, "rule", pa.array(["paper"] * 160))
    (sentence,) = said(world)
    assert sentence["kind"] == "caveat"
    assert "behaviors hold no item of the rule strict" in sentence["text"]


def test_copy_has_a_line_of_its_own():
    told = texts(said(made(by_chance, behaviors=["pivot", "copy", "co-occurrence", "pivot"])), "finding")
    assert any(
        text.startswith("With copy counted as co-occurrence: AUC ") and "40 copy, 80 pivot" in text for text in told
    )


def test_the_published_rules_stand_beside_what_permuting_gives():
    world = made(with_co_occurrence)
    paper = world["behaviors"].set_column(2, "rule", pa.array(["paper"] * 160))
    world["behaviors"] = pa.concat_tables([world["behaviors"], paper])
    (text,) = [text for text in texts(said(world), "finding") if text.startswith("AUC under the published rules")]
    figure = r"0\.\d\d \[0\.\d\d, [01]\.\d\d\]"
    assert re.search(rf"decide: paper {figure}, permuted within the pairs {figure} \(n 160\)\.$", text)


def test_of_one_pair_no_difference_between_pairs_is_told():
    """Permutations of one pair reach far from 0.5 by chance alone."""
    world = made(lambda concept, both, frequent: 0.62 if both[concept] > np.median(both) else 0.38, n=40, seed=26)
    told = said({name: world[name] if name == "pairs" else world[name].slice(0, 40) for name in world})
    assert texts(told, "finding")[0] == VERDICTS["pairs"]
    assert not any("differ" in text or "comes from" in text for text in texts(told, "finding"))


def area(auc, low, high):
    return {"auc": auc, "low": low, "high": high}


HIGH, MIDDLE, LOW = area(0.7, 0.6, 0.8), area(0.52, 0.45, 0.6), area(0.3, 0.2, 0.4)
CHANCE, PAIRED, PAIRED_BELOW = ({"low": low, "high": low + 0.1} for low in (0.45, 0.62, 0.28))


@pytest.mark.parametrize(
    ("whole", "partial", "permuted", "name"),
    [
        (HIGH, HIGH, CHANCE, "holds"),
        (HIGH, MIDDLE, CHANCE, "frequency"),
        (HIGH, None, CHANCE, "frequency"),
        (HIGH, {"auc": None, "low": None, "high": None}, CHANCE, "frequency"),
        (HIGH, HIGH, PAIRED, "pairs"),
        (HIGH, HIGH, None, "untested"),
        (HIGH, HIGH, {"low": None, "high": None}, "untested"),
        (MIDDLE, HIGH, CHANCE, "open"),
        (area(0.7, None, None), HIGH, CHANCE, "untested"),
        (LOW, HIGH, CHANCE, "fails"),
        (LOW, HIGH, PAIRED_BELOW, "pairs"),
    ],
)
def test_the_verdict_needs_each_interval_whole(whole, partial, permuted, name):
    assert verdict(whole, partial, permuted) == name


def measured(low=0.01, high=0.03, documents=None, **more):
    row = {"pair": "all", "against": "other", "items": 90, "concepts": 45, "difference": 0.02, "low": low, "high": high,
           "reason": None} | more  # fmt: skip
    return pa.Table.from_pylist([row | ({"documents": documents} if documents else {})])


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (measured(), "The layers give the corpus's pivots more probability than other items' pivots: difference 0.02 "),
        (measured(-0.03, -0.01), "The layers give the corpus's pivots less probability than other items' pivots: "),
        (
            measured(-0.01, 0.03),
            "The layers give the corpus's pivots neither more nor less probability than other items'",
        ),
        (
            measured(None, None, reason="fewer than 10 concepts"),
            "probability than other items' pivots cannot be told: fewer",
        ),
        (measured(pair="fr-zh"), "cannot be told: it was not compared with other items' pivots."),
    ],
)
def test_the_mass_of_the_corpus_pivots_is_read_beside_other_items(table, text):
    assert any(text in sentence for sentence in texts(said(made(by_chance), mass=table), "finding"))


@pytest.mark.parametrize(("without", "told"), [([], True), (["source", "en"], False), (None, False)])
def test_look_alikes_among_the_pivots_are_a_caveat(without, told):
    sentences = texts(said(made(by_chance), mass=measured(), without=without), "caveat")
    assert any("look-alikes of source, target and that word were not left out" in text for text in sentences) == told


def changed(low, high, concepts=20):
    row = {"layer": 13, "class": "pivot", "intervention": "ablate", "direction": "unembedding", "control": "orthogonal",
           "mean": False, "against": "other", "items": 30, "concepts": concepts, "delta_logprob": -0.3, "low": low,
           "high": high}  # fmt: skip
    return pa.Table.from_pylist([row])


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (changed(-0.4, -0.2), "shows in 1 layer (13) of 1."),
        (changed(-0.4, 0.2), "shows in none of 1 layer."),
        (changed(-0.4, -0.2, concepts=9), "cannot be told: no layer has 10 concepts."),
        (changed(-0.4, -0.2).slice(0, 0), "cannot be told: no item's pivot was tested."),
    ],
)
def test_the_causal_test_is_read_by_the_part_that_is_the_pivots_own(table, text):
    told = texts(said(made(by_chance), effects=table), "finding")
    assert any(text in sentence for sentence in told)


def test_what_was_not_measured_is_a_caveat():
    told = texts(said(made(by_chance)), "caveat")
    assert "What a pivot does to the answer was not tested in this run." in told
    assert "Whether the corpus's pivots are the model's was not compared in this run." in told


def test_rare_words_and_english_are_caveats():
    world = made(by_chance)
    rare = world["pairs"].set_column(2, "df_source", pa.array([4] * 80)).set_column(4, "df_both", pa.array([1, 3] * 40))
    told = texts(said(world | {"pairs": rare}), "caveat")
    assert any(
        text.startswith("160 of 160 items that show co-occurrence or a pivot have a word in at most") for text in told
    )
    assert not any("English" in text for text in told)
    english = [pair.replace("zh", "en") for pair in world["items"]["pair"].to_pylist()]
    for name in ("items", "behaviors", "scores"):
        world[name] = world[name].set_column(1, "pair", pa.array(english))
    assert any(text.startswith("In 2 of 2 pairs English is source or target") for text in texts(said(world), "caveat"))


def test_items_of_another_run_are_refused():
    world = made(by_chance)
    found = attribute(**world, bootstrap=0, permutations=0)
    with pytest.raises(
        ValueError, match=r"finding: items must hold every item of behaviors; got none for \(0, 'fr-zh'\)"
    ):
        finding(found, world["behaviors"], world["items"].slice(9))


def test_a_table_without_its_columns_is_refused():
    world = made(by_chance)
    found = attribute(**world, bootstrap=0, permutations=0)
    with pytest.raises(ValueError, match=r"finding: behaviors must have the columns .*; got none named correct"):
        finding(found, world["behaviors"].drop_columns(["correct"]), world["items"])
    with pytest.raises(TypeError, match=r"finding: items must be a pyarrow.Table; got list"):
        finding(found, world["behaviors"], [])
