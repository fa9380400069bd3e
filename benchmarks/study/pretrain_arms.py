"""The arms of the study on a real model: selections of a run's documents, all of as many tokens.

    python benchmarks/study/pretrain_arms.py RUN --tokens 200000 --out ARMS

RUN is a run folder with ``tokens``, ``behaviors.parquet``, ``documents.parquet`` (`pivotkit score-documents --rule behavior`) and
``dropped.parquet`` (`pivotkit filter`). ARMS gets one folder of token files per arm, and ``arms.json``: what each consists of, in numbers.
This is the one file that says how arms are made.
"""

from __future__ import annotations

import argparse
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

import pivotkit as pk
from pivotkit.artifacts import read_json, read_table, write_json
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.lens.model.loading import load_tokenizer
from pivotkit.selection.scoring.behaviors import Behaviors

ARMS = ("pivot-aware", "behavior-aware", "bilingual", "parallel", "length-matched")
LONGEST = 2000  # tokens of a document: a few long ones would be an arm
BOTH = "+"  # between the languages of a bilingual document


def make_arms(
    documents: pa.Table, dropped: pa.Table, pivot_share: Fraction, tokens: int, seed: int = 0
) -> dict[str, pa.Table]:
    """The documents of each arm, from the table of `score_documents` without what `filter_documents` lists.

    pivot-aware: the highest share of pivots, with equal tokens from each set of languages. bilingual: any documents of two
    languages. parallel: those of two languages with most translation pairs. length-matched: any of the same languages
    and lengths as the pivot-aware ones. behavior-aware: documents rich in the pivots of the items that ask for pivots, and
    parallel ones of the items that ask for both words, in shares of ``pivot_share``; as the rule "behavior" of `select`,
    but for the quotas of the parallel part, which are those of documents of two languages.
    """
    kept = documents.join(dropped.select(["unit", "row"]), ["unit", "row"], join_type="left anti")
    own = kept.filter(pc.less_equal(kept["tokens"], LONGEST)).sort_by([("unit", "ascending"), ("row", "ascending")])
    both = own.filter(pc.match_substring(own["lang"], BOTH))
    room = {"budget_tokens": tokens, "seed": seed}
    every, two = equal(own), equal(both)
    pivot = pk.select(own, rule="share", quotas=every, **room)
    parallel = pk.select(both, rule="parallel", quotas=two, **room)
    most = 1.1 * tokens  # some documents are in both parts
    mixed = pa.concat_tables(
        [
            pk.select(own, rule=rich, quotas=every, budget_tokens=round(most * pivot_share), seed=seed),
            pk.select(both, rule=beside, quotas=two, budget_tokens=round(most * (1 - pivot_share)), seed=seed),
        ]
    )
    controls = pk.selection_controls(own, pivot, controls=["length-matched"], seed=seed, allow_shortfall=True)
    return {
        "pivot-aware": pivot,
        "behavior-aware": unique(mixed),
        # Another seed: documents without translation pairs are equal under "parallel", and ordered by the same hash.
        "bilingual": pk.select(both, rule="random", quotas=two, budget_tokens=tokens, seed=seed + 1),
        "parallel": parallel,
        "length-matched": controls["length-matched"],
    }


def rich(behavior_pivots: float, tokens: float) -> float:
    return behavior_pivots / tokens


def beside(behavior_pairs: float) -> float:
    return behavior_pairs


def equal(documents: pa.Table) -> dict[str, float]:
    """Equal shares of the sets of languages that documents have."""
    names = sorted(set(documents["lang"].to_pylist()))
    return {name: 1 / len(names) for name in names}


def unique(documents: pa.Table) -> pa.Table:
    """Rows of two selections, each document once, in the order of the corpus."""
    rows, seen = documents.sort_by([("unit", "ascending"), ("row", "ascending")]), set()
    kept = []
    for at, place in enumerate(zip(rows["unit"].to_pylist(), rows["row"].to_pylist(), strict=True)):
        if place not in seen:
            seen.add(place)
            kept.append(at)
    return rows.take(kept)


def about(table: pa.Table) -> dict[str, Any]:
    """What an arm consists of, in numbers."""
    tokens = pc.sum(table["tokens"]).as_py()
    languages: Counter[str] = Counter()
    for lang, some in zip(table["lang"].to_pylist(), table["tokens"].to_pylist(), strict=True):
        languages[lang] += some
    return {
        "documents": table.num_rows,
        "tokens": tokens,
        "pivot share": round(pc.sum(table["pivots"]).as_py() / tokens, 4),
        "with translation pairs": round(pc.mean(pc.greater(table["translation_pairs"], 0)).as_py(), 4),
        "mean length": round(tokens / table.num_rows, 1),
        "languages": {lang: round(some / tokens, 3) for lang, some in sorted(languages.items())},
    }


def make(run: Path, tokens: int, out: Path) -> None:
    """Write every arm of a run, and ``arms.json``, last."""
    model = read_json(run / "run.json")["config"]["model"]
    store, eos = TokenStore.open(run / "tokens"), load_tokenizer(model).eos_token_id
    documents, dropped = (read_table(run / f"{name}.parquet") for name in ("documents", "dropped"))
    behaviors = Behaviors.of("arms", read_table(run / "behaviors.parquet"))
    arms = make_arms(documents, dropped, behaviors.pivot_share, tokens)
    for name in ARMS:
        pk.write_selection(arms[name], store, out / name, eos=eos)
    shared = {f"{one} / {other}": overlap(arms[one], arms[other]) for one in ARMS for other in ARMS if one < other}
    write_json({"arms": {name: about(arms[name]) for name in ARMS}, "shared documents": shared}, out / "arms.json")


def overlap(one: pa.Table, other: pa.Table) -> float:
    """The share of the smaller arm's documents that both have."""
    first, second = (set(zip(arm["unit"].to_pylist(), arm["row"].to_pylist(), strict=True)) for arm in (one, other))
    return round(len(first & second) / min(len(first), len(second)), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--tokens", type=int, required=True, help="tokens that each arm must hold at least")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    make(given.run, given.tokens, given.out)


if __name__ == "__main__":
    main()
