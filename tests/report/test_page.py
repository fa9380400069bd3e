"""The page is whole, safe, self-contained, and says what the artifacts say."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pivotkit.artifacts import read_json, read_table, write_json, write_table
from pivotkit.errors import InputError
from pivotkit.report import write_report
from pivotkit.report.text import number

VOID = {"meta", "br", "input", "img", "link", "hr"}


class Page(HTMLParser):
    """Reads a page, refusing tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif data.strip():
            self.words.append(data.strip())

    def data(self) -> dict:
        return json.loads(self.scripts[0])

    def has(self, *words: str) -> bool:
        return any(self.words[place : place + len(words)] == list(words) for place in range(len(self.words)))


@pytest.fixture(scope="module")
def page(full_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(write_report(full_run, tmp_path_factory.mktemp("out") / "page.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def source(full_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(full_run, tmp_path_factory.mktemp("out") / "page.html").read_text(encoding="utf-8")


def test_the_page_refers_to_nothing_outside_itself(page: Page, source: str) -> None:
    assert not re.search(r"https?://|@import|url\(|srcset|xlink", source)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert all(value.startswith("#") for _, name, value in page.attributes if name == "href")
    assert not [tag for tag, name, _ in page.attributes if name == "src"]


def test_users_words_never_become_markup(page: Page, source: str) -> None:
    assert page.tags["script"] == 2
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "<!--" not in source
    assert any("</script><script>alert(1)</script>" in words for words in page.words)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u200b\u200f\u2028\u202e]", source)


def test_the_policy_allows_the_pages_own_script_only(page: Page) -> None:
    policy = next(value for tag, name, value in page.attributes if tag == "meta" and "default-src" in value)
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_the_script_writes_text_only(page: Page) -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(", page.scripts[1])


def test_links_within_the_page_lead_somewhere(page: Page) -> None:
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for _, name, value in page.attributes if name == "href"} <= set(ids)


def test_scores_equal_their_means(page: Page, full_run: Path) -> None:
    scores = read_table(full_run / "scores.parquet").to_pylist()
    for pair, label in (("fr-zh", "fr → zh"), ("en-fr", "en → fr")):
        values = [row["score"] for row in scores if row["pair"] == pair]
        assert page.has(label, str(len(values)), number(sum(values) / len(values)))
        assert number(sum(value > 0 for value in values) / len(values)) in page.words


def test_curves_equal_mean_masses(source: str, full_run: Path) -> None:
    traces = read_table(full_run / "traces").to_pylist()
    for name in ("source", "en", "target", "pivot"):
        logs = [row[f"{name}_logmass"] for row in traces if row["pair"] == "fr-zh" and row["layer"] == 15]
        assert f"layer 15, {name}: {number(float(np.exp(logs).mean()))} [" in source


def test_a_latent_language_that_is_the_source_is_drawn_once(source: str) -> None:
    first, second = re.findall(r'aria-label="Probability mass by layer, [^"]*".*?</svg>', source, re.DOTALL)
    assert ", en: " not in first  # en → fr
    assert ", en: " in second  # fr → zh


def test_top1_shares_equal_a_count(source: str, full_run: Path) -> None:
    rows = [row for row in read_table(full_run / "traces").to_pylist() if row["pair"] == "fr-zh" and row["layer"] == 18]
    share = sum(row["top_ids"][0] in row["target_ids"] for row in rows) / len(rows)
    assert f"layer 18, target: {share:.1%}" in source


def test_behavior_counts_equal_the_table(page: Page, full_run: Path) -> None:
    found = Counter(
        (row["rule"], row["pair"], row["behavior"]) for row in read_table(full_run / "behaviors.parquet").to_pylist()
    )
    names = ("co-occurrence", "pivot", "copy", "other", "excluded")
    for rule in ("paper", "strict", "threshold"):
        counts = [found[rule, "en-fr", name] for name in names]
        told = number(counts[1] / (counts[0] + counts[1]))
        assert page.has("en → fr", str(sum(counts)), *map(str, counts), told)


def test_auc_and_its_reasons_are_shown_as_computed(page: Page, full_run: Path) -> None:
    for entry in read_json(full_run / "attribution.json")["auc"]:
        shown = number(entry["auc"])
        assert shown in page.words
        assert (entry.get("reason") or f"[{number(entry['low'])}, {number(entry['high'])}]") in page.words


def test_selection_shows_got_against_asked(page: Page, full_run: Path) -> None:
    chosen = read_table(full_run / "selection" / "provenance.parquet").to_pylist()
    for lang, asked in (("en", "20,000"), ("fr", "40,000"), ("zh", "40,000")):
        assert page.has(lang, asked, f"{sum(row['tokens'] for row in chosen if row['lang'] == lang):,}")
    pooled = sum(row["pivots"] for row in chosen) / sum(row["tokens"] for row in chosen)
    assert page.has("selected documents", f"{len(chosen):,}", number(pooled))


def test_pretraining_shows_every_seed(page: Page, source: str, full_run: Path) -> None:
    rows = read_table(full_run / "pretrain.parquet").to_pylist()
    for row in rows:
        assert f"{row['arm']}, seed {row['seed']}: {number(row['accuracy'])}" in source
    mean = np.mean([row["accuracy"] for row in rows if row["arm"] == "parallel" and row["concepts"] == "direct"])
    assert any(words.startswith(number(float(mean)) + " (") for words in page.words)


def test_pivots_in_the_layers_are_counted_against_controls(page: Page, full_run: Path) -> None:
    tops: dict[int, set[int]] = {}
    for row in read_table(full_run / "traces").to_pylist():
        tops.setdefault(row["item"], set()).update(row["top_ids"])
    hits: dict[int, bool] = {}
    for row in read_table(full_run / "pivots.parquet").to_pylist():
        if row["pair"] == "fr-zh" and row["rank"] < 10:
            hits[row["item"]] = hits.get(row["item"], False) or row["token_id"] in tops[row["item"]]
    assert page.has("fr → zh", str(len(hits)), number(sum(hits.values()) / len(hits)))


def test_the_testbeds_truth_is_shown(page: Page) -> None:
    assert page.has("Planted pivots recovered", "120", "119", "99.2%")
    assert page.has("pivot", "1", "39")


def test_words_are_packed_without_loss(page: Page, full_run: Path) -> None:
    data = page.data()
    pairs = [pair["code"] for pair in data["pairs"]]
    traces = {(row["pair"], str(row["item"]), row["layer"]): row for row in read_table(full_run / "traces").to_pylist()}
    assert len(data["words"]) == read_table(full_run / "items.parquet").num_rows
    for word in data["words"]:
        for place, layer in enumerate(data["pairs"][word["pair"]]["layers"]):
            row = traces[pairs[word["pair"]], word["id"], layer]
            begin = place * data["k"]
            shown = word["prob"][begin : begin + data["k"]]
            assert shown == [round(1000 * value) for value in np.exp(row["top_logprobs"]).tolist()]
            assert word["rank"][place] == row["target_rank"]
    chien = next(word for word in data["words"] if word["source"] == "chien")
    texts = {name: {data["tokens"][place] for place in places} for name, places in chien["sets"].items()}
    assert texts["source"] == {"␣chien"}
    assert texts["target"] == {"狗"}
    assert "␣dog" in texts["en"]
    assert chien["counts"][0] - chien["counts"][2] == 900


def test_counts_are_found_by_their_folded_words_in_either_direction(new_run: Callable[[], Path], tmp_path: Path) -> None:
    run = new_run()
    row = {"source": "狗", "target": "chien", "df_source": 4, "df_target": 9, "df_both": 2}
    write_table(pa.Table.from_pylist([row]), run / "counts" / "pairs.parquet")
    data = Page(write_report(run, tmp_path / "page.html").read_text(encoding="utf-8")).data()
    assert [word["counts"] for word in data["words"] if word["source"] == "chien"] == [[9, 4, 2]]
    assert all(word["counts"] is None for word in data["words"] if word["source"] != "chien")


def test_two_hundred_and_forty_words_stay_under_three_megabytes(source: str, page: Page) -> None:
    data = page.data()
    each = len(page.scripts[0].encode()) / len(data["words"])
    rest = len(source.encode()) - len(page.scripts[0].encode())
    assert rest + 240 * each < 3e6


def test_the_same_run_gives_the_same_page(full_run: Path, source: str, tmp_path: Path) -> None:
    assert write_report(full_run, tmp_path / "again.html").read_text(encoding="utf-8") == source


def test_an_empty_run_says_what_has_not_run(tmp_path: Path) -> None:
    path = write_report(tmp_path)
    assert path == tmp_path / "report.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert page.words.count("This stage has not run: there is no") == 8
    assert page.tags["script"] == 0
    assert "Testbed: planted and recovered" not in page.words


@pytest.mark.parametrize(
    ("artifact", "command"),
    [
        ("scores.parquet", "pivotkit score"),
        ("traces", "pivotkit trace"),
        ("behaviors.parquet", "pivotkit behaviors"),
        ("attribution.json", "pivotkit attribution"),
        ("pivots.parquet", "pivotkit pivots"),
        ("documents.parquet", "pivotkit score-documents"),
        ("selection", "pivotkit select"),
        ("pretrain.parquet", "pivotkit pretrain"),
        ("items.parquet", "pivotkit trace"),
        ("hubs.parquet", None),
        ("counts", None),
        ("run.json", None),
        ("truth.json", None),
    ],
)
def test_any_stage_may_be_missing(artifact: str, command: str | None, new_run: Callable[[], Path]) -> None:
    run = new_run()
    if (run / artifact).is_dir():
        shutil.rmtree(run / artifact)
    else:
        (run / artifact).unlink()
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert ("This stage has not run: there is no" in page.words) == (command is not None)
    assert command is None or command in page.words


def test_no_page_is_written_or_changed_when_a_table_is_malformed(new_run: Callable[[], Path]) -> None:
    run = new_run()
    (run / "report.html").write_text("before")
    behaviors = read_table(run / "behaviors.parquet").to_pylist()
    behaviors[3]["behavior"] = "guess"
    write_table(pa.Table.from_pylist(behaviors), run / "behaviors.parquet")
    with pytest.raises(InputError, match="behavior must be one of .*; got 'guess'"):
        write_report(run)
    assert (run / "report.html").read_text() == "before"
    assert not list(run.glob(".*.part"))


def test_an_item_without_one_of_its_layers_is_refused(new_run: Callable[[], Path]) -> None:
    run = new_run()
    part = sorted((run / "traces").glob("*.parquet"))[0]
    write_table(read_table(part)[1:], part)
    with pytest.raises(InputError, match="every item must have each of the 19 layers once"):
        write_report(run)


def test_an_incomplete_attribution_is_refused(new_run: Callable[[], Path]) -> None:
    run = new_run()
    write_json({"auc": [{"rule": "paper", "pair": "all"}]}, run / "attribution.json")
    with pytest.raises(InputError, match="auc must have the keys predictor, auc, low"):
        write_report(run)


def test_tokens_without_text_and_missing_controls_are_shown(new_run: Callable[[], Path]) -> None:
    run = new_run()
    pivots = read_table(run / "pivots.parquet").to_pylist()
    for row in pivots:
        row |= {"token": None, "control_token": None}
    pivots[0]["control_id"] = None
    kinds = read_table(run / "pivots.parquet").schema
    write_table(pa.Table.from_pylist(pivots, schema=kinds), run / "pivots.parquet")
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert f"#{pivots[0]['token_id']}" in page.words
    assert page.data()["words"][0]["pivots"][0][2] in ("–", f"#{pivots[0]['control_id']}")


def test_a_long_run_shows_the_first_words_of_each_pair_and_says_so(
    new_run: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pivotkit.report.browser.CELLS", 2 * 19 * 10 * 5)
    data = Page(write_report(new_run()).read_text(encoding="utf-8")).data()
    assert [(pair["shown"], pair["of"]) for pair in data["pairs"]] == [(5, 12), (5, 12)]
    assert len(data["words"]) == 10
