"""`pivotkit lexicon`: the check of a lexicon as tables for a reader, or as data."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from pivotkit.cli_options import COLLECTIONS, Parser

WIDTH = 120  # characters of a line where the output is no terminal
EXAMPLES = 8

# The head of each column; one that is not here has its own name.
HEADS = {
    "same_spelling": "same spelling", "look_alikes": "look-alikes", "shared_piece": "shared piece",
    "not_told_apart": "not told apart", "few_documents": "few documents", "mean_pieces": "pieces a word",
    "one_piece": "one piece", "median_df": "median documents", "no_document": "no document", "enough": "enough",
}  # fmt: skip


def add_lexicon_options(parser: Parser) -> None:
    """The arguments of the command."""
    parser.add_argument("lexicon", metavar="FILE", help="tab-separated words: one row per concept")
    parser.add_argument("--model", help="folder, GGUF file, name in the model cache, or hub id: for the words' tokens")
    parser.add_argument("--corpus", nargs="+", metavar="CORPUS", help="text, for the words' documents")
    parser.add_argument("--languages", metavar="FOLDER", help="table of `pivotkit languages` (default: the lang field)")
    parser.add_argument(
        "--pairs", type=COLLECTIONS["list[str]"], metavar="CODES", help="pairs, as fr-zh,en-fr (default: all)"
    )
    parser.add_argument("--min-df", type=int, default=20, metavar="N", help="few documents are fewer than these (20)")
    parser.add_argument("--on-error", choices=("raise", "skip"), default="raise", help="at a corrupt document")
    parser.add_argument("--workers", type=int, metavar="N", help="counting processes; one per core by default")
    parser.add_argument("--out", metavar="FILE", help="write all of it: .json, or the words as .parquet")


def run_lexicon(parsed: argparse.Namespace) -> dict[str, Any]:
    """Check a lexicon, print the tables, and return what is short enough for a summary."""
    from pivotkit.corpus.languages.language_table import LanguageTable
    from pivotkit.corpus.lexicon_check import check_lexicon, check_out
    from pivotkit.lens.model.loading import load_tokenizer

    if parsed.out is not None:
        check_out(parsed.out)  # before the corpus is read
    found = check_lexicon(
        parsed.lexicon, tokenizer=None if parsed.model is None else load_tokenizer(parsed.model), corpus=parsed.corpus,
        pairs=parsed.pairs,
        languages=None if parsed.languages is None else LanguageTable.open(parsed.languages), min_df=parsed.min_df,
        on_error=parsed.on_error, workers=parsed.workers,
    )  # fmt: skip
    written = {} if parsed.out is None else {"out": str(found.save(parsed.out))}
    if parsed.json:
        return found.about | {"languages": found.languages.to_pylist(), "pairs": found.pairs.to_pylist()} | written
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(_table("languages", found.languages), _table("pairs, either way round", found.pairs))
    for told, words in _examples(found.words.to_pylist()).items():
        shown = ", ".join(words[:EXAMPLES]) + (f" and {len(words) - EXAMPLES} more" if len(words) > EXAMPLES else "")
        console.print(f"{told}: {shown or 'none'}", markup=False, soft_wrap=True)
    left_out = {f"without {name}": why for name, why in found.about["left_out"].items()}
    kept = ("concepts", "documents", "min_df", "least_concepts")
    return {name: found.about[name] for name in kept if name in found.about} | left_out | written


def _table(title: str, table: pa.Table) -> Table:
    """A table for a reader; columns that nothing is known of are left out."""
    names = [name for name in table.column_names if table[name].null_count < table.num_rows]
    made = Table(title=title, title_justify="left")
    for place, name in enumerate(names):
        made.add_column(HEADS.get(name, name), justify="right" if place else "left", overflow="fold")
    for row in table.select(names).to_pylist():
        made.add_row(*map(_cell, row.values()))
    return made


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.1f}" if isinstance(value, float) else "" if value is None else str(value)


def _examples(words: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The words behind the numbers, each once; those that were not looked for are not there."""
    found: dict[str, dict[str, None]] = {}

    def add(kind: str, holds: Any, text: str) -> None:
        if holds is not None:
            own = found.setdefault(kind, {})
            if holds:
                own[text] = None

    for row in words:
        word, code = row["word"], row["language"]
        others = sorted({code, *row["homographs"]})
        add("one spelling in several languages", bool(row["homographs"]), f"{word} ({', '.join(others)})")
        repeated = row["repeated"] is not None
        add(
            "shown in two rows, which a run refuses",
            repeated,
            f"{word} ({code}, lines {row['repeated']}, {row['line']})",
        )
        apart = row["told_apart"]
        add("told apart by no first piece", None if apart is None else not apart, f"{word} ({code})")
    return {kind: list(own) for kind, own in found.items()}
