"""The paper on a real model, a real corpus and a real lexicon: one command that makes a run folder and its table.

    python benchmarks/study/study.py --data SHARED/data --out RUN                    the whole study: gemma3-270m
    python benchmarks/study/study.py --data SHARED/data --out RUN --model smollm2-135m
    python benchmarks/study/study.py --data SHARED/data --out RUN --limit 30 --pairs en-fr,fr-zh --share 0.1 --lens-tokens 0

SHARED/data has lexicon/words_2000.tsv (languages, ``pos``, ``tier``), corpus/<code>.jsonl.zst (``id``, ``text``,
``lang``) and bilingual/en-<code>.jsonl.zst (``id``, ``text``, ``langs``). The same concepts are asked for in every pair,
one of each class of frequency. The same command goes on with a run that was stopped, and makes only what is missing.
``RUN/given`` holds what was made of the data: the clean rows of the lexicon, the sample of the corpus, the ridge lens.
``RUN/report.html`` shows the run and ``RUN/table.md`` sums it up.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path

from inputs import clean_rows, corpus_files, sampled
from summary import summary

import pivotkit as pk
from pivotkit.cli import main as pivotkit
from pivotkit.corpus.reading.documents import read_documents
from pivotkit.lens.fitted import fit_lens
from pivotkit.words.languages import parse_pair

LANGUAGES = ("en", "fr", "zh", "ja")
TIER, ACCEPTED = "A", 3  # the clean rows, and the answers that count for each word
# Half of the paper's candidates and two of its five contexts, which a pair shares: a fifth of the cost.
TASK = ["--limit-by", "stratified", "--sharing", "pair", "--contexts", "2", "--distractors", "4"]
COUNTS = ["--strata", "both"]
STOPPED = (130, 143)  # by Ctrl-C, by SIGTERM
TEXTS = 400  # documents of each language that a lens is fitted on, at most


def study(arguments: argparse.Namespace) -> int:
    """Make what is missing of the run, and print its table."""
    given = arguments.out / "given"
    pairs = arguments.pairs or [f"{source}-{target}" for source, target in permutations(LANGUAGES, 2)]
    languages = list(dict.fromkeys(["en", *(code for pair in pairs for code in parse_pair(pair))]))
    lexicon = given / "words.tsv"
    clean_rows(arguments.data / "lexicon" / "words_2000.tsv", TIER, ACCEPTED, lexicon)
    corpus = sampled(corpus_files(arguments.data, languages), arguments.share, given / "corpus")
    lens = ridge_lens(arguments, corpus, given) if arguments.lens_tokens else None
    run = ["run", "--out", str(arguments.out), "--model", arguments.model, "--lexicon", str(lexicon), "--pairs", *pairs,
           "--limit", str(arguments.limit), "--corpus", *map(str, corpus), *TASK, *COUNTS, "--latent", "en",
           "--allow-shortfall", "--pivot-rule", arguments.pivot_rule, *(["--tuned-lens", str(lens)] if lens else [])]  # fmt: skip
    if code := pivotkit(run):
        return code
    # A model may show no pivots to test; the attribution and the report then say that there is no causal test.
    tested = pivotkit(["causal", str(arguments.out), "--interventions", "ablate"])
    if tested in STOPPED:
        return tested
    if tested == 0 and (code := pivotkit(run)):
        return code
    table = summary(arguments.out)
    (arguments.out / "table.md").write_text(table, encoding="utf-8")
    print(table)
    return 0


def ridge_lens(arguments: argparse.Namespace, corpus: Sequence[Path], given: Path) -> Path:
    """The folder of a ridge lens that was fitted on documents of every file of the corpus."""
    tokens = arguments.lens_tokens
    out = given / f"ridge-{tokens}-{arguments.share:g}"
    if not out.exists():
        loaded, tokenizer = pk.load_model(arguments.model)
        texts = [text for file in corpus for text in itertools.islice(_texts(file), TEXTS)]
        fit_lens(loaded, texts, tokenizer, tokens=tokens, out=out)
    return out


def _texts(file: Path) -> Iterator[str]:
    for batch in read_documents(file):
        yield from batch.texts


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of lexicon, corpus and bilingual documents")
    parser.add_argument("--out", type=Path, required=True, help="run folder")
    parser.add_argument("--model", default="gemma3-270m", help="folder, name in the model cache, or hub id")
    parser.add_argument("--limit", type=int, default=300, help="concepts in every pair")
    parser.add_argument("--pairs", type=lambda text: text.split(","), help="en-fr,fr-zh; by default all ordered pairs")
    parser.add_argument("--share", type=float, default=1.0, help="share of the corpus, by the hash of documents' ids")
    parser.add_argument(
        "--pivot-rule", default="stratified", help="rule of the pivots; a small corpus may need another"
    )
    parser.add_argument("--lens-tokens", type=int, default=16_000, help="tokens of the ridge lens; 0 for none")
    return parser


if __name__ == "__main__":
    sys.exit(study(options().parse_args()))
