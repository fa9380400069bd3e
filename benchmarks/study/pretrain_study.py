"""A real model, trained on on arms of real text: one unit after another, each of one model, arm and seed.

    python benchmarks/study/pretrain_study.py --data SHARED/data --out WORK --model smollm2-135m --tokens 200000
    python benchmarks/study/pretrain_study.py ... --units 1           stop after one unit that was not there

WORK/<model> holds the run folder, the arms of so many tokens (pretrain_arms.py) and what `pk.pretrain` writes. Each
finished unit is a file of numbers in benchmarks/study/results: settings, losses, every measure at every checkpoint, and each
item's answer by its number, so that differences can be paired (pretrain_table.py). Units whose file is there are not run
again; a unit that was stopped goes on at its last checkpoint.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import platform
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import torch
from bfloat16_products import ProductsInFloat32, missing
from inputs import clean_rows, corpus_files, left_out, sampled
from pretrain_arms import ARMS, make
from pretrain_table import tables, unit_file

import pivotkit as pk
from pivotkit.artifacts import read_json, read_table, write_json, write_table
from pivotkit.cli import main as pivotkit
from pivotkit.training.translations import read_sentences

PAIRS = ("en-fr", "fr-en", "en-de", "fr-de", "en-zh", "fr-zh")
LANGUAGES = ("en", "fr", "de", "zh")
TASK = ["--sharing", "pair", "--contexts", "2", "--distractors", "4"]
RECIPE = {"length": 256, "batch": 8, "micro_batch": 2, "learning_rate": 1e-4, "warmup": 5}
MORE = 1.05  # of the tokens of a training, so that no arm is short by a document
HELD_OUT = 60  # documents of each language, of those that the sample for the arms leaves out


def prepare(given: argparse.Namespace, work: Path) -> None:
    """The run folder: items, tokens, pivots, scored documents; and the arms. What lies there is not made again."""
    run, arms = work / "run", arms_folder(given, work)
    if (arms / "arms.json").exists():
        return
    lexicon, items = work / "given" / "words.tsv", work / "given" / "items.parquet"
    words(given.data, lexicon)
    corpus = list(map(str, sampled(corpus_files(given.data, LANGUAGES), given.share, work / "given" / "corpus")))
    task = ["--pairs", ",".join(PAIRS), "--lexicon", str(lexicon), *TASK]
    if not items.exists():
        for command in (
            ["task", *task],
            ["tokens", "--model", given.model, "--corpus", *corpus],
            ["count"],
            ["pivots"],
        ):
            stage(work / "survey", *command)
        write_table(with_pivots(work / "survey", given.limit), items)
    for command in (
        ["task", "--items", str(items), "--pairs", ",".join(PAIRS)],
        ["tokens", "--model", given.model, "--corpus", *corpus],
        *(["count"], ["pivots"], ["trace"], ["behaviors"], ["score-documents", "--rule", "behavior"]),
        ["filter", "--filters", "near-duplicates", "--exclude", str(evaluated(given, work / "given"))],
    ):
        stage(run, *command)
    make(run, round(given.tokens * MORE), arms)


def stage(run: Path, name: str, *options: str) -> None:
    if code := pivotkit([name, str(run), *options]):
        sys.exit(code)


def with_pivots(survey: Path, limit: int) -> pa.Table:
    """Up to ``limit`` items of each pair, of those with pivots and two spellings, from frequent to rare words."""
    items, found = (read_table(survey / f"{name}.parquet") for name in ("items", "pivots"))
    able = pc.and_(pc.is_in(items["item"], pc.unique(found["item"])), pc.not_equal(items["source"], items["target"]))
    parts = []
    for pair in PAIRS:
        own = items.filter(pc.and_(able, pc.equal(items["pair"], pair)))
        parts.append(own.take(np.unique(np.linspace(0, len(own) - 1, min(limit, len(own))).round().astype(int))))
    return pa.concat_tables(parts)


def arms_folder(given: argparse.Namespace, work: Path) -> Path:
    return work / f"arms-{given.tokens}"


def sentences(data: Path, out: Path) -> Path:
    """A folder with the tables of parallel sentences, each with the codes of its columns above."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("tatoeba.tsv.zst", "udhr.tsv"):
        if not (out / name).exists():
            (out / name).symlink_to((data / "parallel" / name).absolute())
    examples = (data / "parallel" / "hsk_zh_en.tsv").read_text("utf-8")  # its columns have no names
    (out / "hsk.tsv").write_text("id\tzh\ten\n" + examples, encoding="utf-8")
    return out


def words(data: Path, out: Path) -> None:
    """The concepts of both lexicons, nouns alone, each word once in its language; a cell is empty where a word is missing."""
    if out.exists():
        return
    clean_rows(data / "lexicon" / "words_2000.tsv", "A", 1, out.with_name("words_2000.tsv"))
    kept, seen = [], {code: {""} for code in LANGUAGES}
    for file in (data / "lexicon" / "concrete_nouns.tsv", out.with_name("words_2000.tsv")):
        with file.open(encoding="utf-8", newline="") as opened:
            for row in csv.DictReader(opened, delimiter="\t"):
                own = {code: row.get(code, "") for code in LANGUAGES}
                known = any(word and word in seen[code] for code, word in own.items())
                if row.get("pos", "noun") == "noun" and not known:
                    kept.append("\t".join(own.values()))
                    for code, word in own.items():
                        seen[code].add(word)
    out.write_text("\n".join(["\t".join(LANGUAGES), *kept]) + "\n", encoding="utf-8")


def held_out(given: argparse.Namespace) -> dict[str, list[str]]:
    """Documents of each language that are in no arm."""
    return {code: left_out(given.data / "corpus" / f"{code}.jsonl.zst", given.share, HELD_OUT) for code in LANGUAGES}


def evaluated(given: argparse.Namespace, folder: Path) -> Path:
    """A file of all texts that models are measured on: no arm may share 13 words in a row with one of them."""
    texts = [text for some in held_out(given).values() for text in some]
    parallel = sentences(given.data, folder / "parallel")
    for own in read_sentences("study", parallel, PAIRS, given.lines or 1, 0).values():
        texts += [text for both in own.lines for text in both]
    out = folder / "evaluated.jsonl"
    out.write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts))
    return out


def train_unit(given: argparse.Namespace, work: Path, arm: str, seed: int) -> None:
    """Train one unit, and write its numbers."""
    recipe = {**RECIPE, "precision": given.precision}
    out = work / f"out-{given.tokens}-{given.precision}"
    in_float32 = given.precision == "mixed" and missing()
    with ProductsInFloat32() if in_float32 else contextlib.nullcontext():
        table = pk.pretrain(
            given.model, {arm: arms_folder(given, work) / arm}, read_table(work / "run" / "items.parquet"),
            tokens=given.tokens, out=out, seeds=[seed], recipe=recipe, checkpoints=given.checkpoints, save_every=20,
            latent=["en"], held_out=held_out(given), lines=given.lines or 1,
            parallel=sentences(given.data, work / "given" / "parallel") if given.lines else None,
        )  # fmt: skip
    arms = read_json(arms_folder(given, work) / "arms.json")
    log = [orjson.loads(line) for line in (out / arm / f"seed-{seed}" / "log.jsonl").read_bytes().splitlines()]
    rows = [row for row in table.to_pylist() if row["arm"] in (arm, "before")]
    last = max(row["step"] for row in rows)
    about = {
        "model": given.model, "tokens": max(row["tokens"] for row in rows), "recipe": recipe, "seed": seed, "arm": arm,
        "date": datetime.now(timezone.utc).date().isoformat(), "machine": machine() + ", bfloat16 products in float32" * in_float32,
        "consists of": arms["arms"][arm], "losses": [round(line["loss"], 4) for line in log],
    }  # fmt: skip
    for name, step, folder in (
        ("before", 0, out / "before" / "step-0"),
        (arm, last, out / arm / f"seed-{seed}" / f"step-{last}"),
    ):
        file = unit_file(given.model, given.tokens, given.precision, name, None if name == "before" else seed)
        own = [row for row in rows if row["arm"] == name]
        kept = {key: value for key, value in about.items() if name != "before" or key in ("model", "date", "machine")}
        write_json({**kept, "step": step, "measures": own, **by_item(folder)}, file)


def by_item(folder: Path) -> dict[str, Any]:
    """Each item's pair, score and answer, by its number; and the layer curves."""
    scores, curves, asked = (read_table(folder / f"{name}.parquet") for name in ("scores", "curves", "items"))
    names = ("item", "concept", "pair", "score", "greedy", "excluded")
    own = scores.select([name for name in names if name != "concept"])
    kept = own.join(asked.select(["item", "concept"]), "item").sort_by("item").select(list(names)).to_pylist()
    items = {
        "columns": names,
        "rows": [
            [round(row[name], 4) if isinstance(row[name], float) else row[name] for name in names] for row in kept
        ],
    }
    curve = [
        {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
        for row in curves.to_pylist()
    ]
    return {"items": items, "curves": curve}


def machine() -> str:
    kinds = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return (
        f"{kinds[0] if kinds else platform.processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--tokens", type=int, default=200_000)
    parser.add_argument("--precision", default="float32", choices=("float32", "mixed", "bfloat16"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--checkpoints", type=int, default=2)
    parser.add_argument("--limit", type=int, default=48, help="items of each pair, at most")
    parser.add_argument("--lines", type=int, default=50, help="sentences of each pair for chrF, at most; 0 for none")
    parser.add_argument("--share", type=float, default=0.9, help="share of the corpus that arms are chosen from")
    parser.add_argument("--units", type=int, help="stop after so many units")
    given = parser.parse_args()
    work = given.out / given.model
    prepare(given, work)
    missing = [(arm, seed) for seed in given.seeds for arm in given.arms
               if not unit_file(given.model, given.tokens, given.precision, arm, seed).exists()]  # fmt: skip
    for arm, seed in missing[: given.units]:
        train_unit(given, work, arm, seed)
    print(tables(given.model, given.tokens, given.precision))


if __name__ == "__main__":
    main()
