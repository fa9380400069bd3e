"""A check of a lexicon before a long run: its words, their tokens under a model, their documents in a corpus."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import pyarrow as pa

from pivotkit.arguments import check_int, check_kind, check_path, check_paths, check_strings, refuse, refuse_kind
from pivotkit.artifacts import write_json, write_table
from pivotkit.corpus.count import count
from pivotkit.corpus.languages.language_table import LanguageTable
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.documents import check_on_error
from pivotkit.words.languages import parse_pair
from pivotkit.words.lexicon import Lexicon, scan_lexicon
from pivotkit.words.lexicon_check import LANGUAGES, PAIRS, WORDS, WordDocuments, language_rows, pair_rows, word_rows
from pivotkit.words.word_tokens import WordTokens

MIN_DF = 20  # words in fewer documents have no pivots to find
LEAST_CONCEPTS = 15  # an item, nine distractors, five shots


@dataclass(frozen=True)
class LexiconCheck:
    """What a check found. `check_lexicon` says what the columns mean.

    Attributes
    ----------
    words, pairs, languages : pyarrow.Table
    about : dict
        The lexicon, the number of its concepts, documents counted, the bounds, and what was left out and why.
    """

    words: pa.Table
    pairs: pa.Table
    languages: pa.Table
    about: dict[str, Any]

    def __repr__(self) -> str:
        return f"LexiconCheck(words={self.words.num_rows}, pairs={self.pairs.num_rows})"

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        tables = {"languages": self.languages, "pairs": self.pairs, "words": self.words}
        plain = {name: table.to_pylist() for name, table in tables.items()}
        for row in plain["words"]:
            row["df_by_language"] = None if row["df_by_language"] is None else dict(row["df_by_language"])
        return {"about": self.about, **plain}

    def save(self, path: str | Path) -> Path:
        """Write everything as ``.json``, or the words as ``.parquet`` with all else in the metadata."""
        if check_out(path) == ".json":
            return write_json(self.as_dict(), path)
        rest = self.as_dict()
        del rest["words"]
        return write_table(self.words, path, rest)


def check_out(path: str | Path) -> str:
    """The ending of a file for a check; refuses others than those that are written."""
    check_path("check_lexicon", "out", path)
    ending = Path(path).suffix
    if ending not in (".json", ".parquet"):
        refuse("check_lexicon", "out", "end in .json or .parquet", path)
    return ending


def check_lexicon(
    lexicon: Lexicon | str | Path,
    *,
    tokenizer: Any = None,
    corpus: Any = None,
    pairs: Sequence[str] | None = None,
    languages: LanguageTable | None = None,
    min_df: int = MIN_DF,
    least_concepts: int = LEAST_CONCEPTS,
    on_error: str = "raise",
    workers: int | None = None,
) -> LexiconCheck:
    """Check a lexicon before a long run: what its words are to a tokenizer and in a corpus, and which pairs it serves.

    Parameters
    ----------
    lexicon : Lexicon, str or Path
        A file is read as `read_lexicon` reads it, but words that several rows show are told and not refused.
    tokenizer : a Hugging Face tokenizer, optional
        The model's. Without it, what depends on tokens is left out.
    corpus : path, glob or sequence of them, optional
        Text, for `count`. Without it, what depends on documents is left out.
    pairs : sequence of str, optional
        By default every two languages of the lexicon once, since both directions count alike.
    languages : LanguageTable, optional
        Says the languages of documents; by default their ``lang`` field does.
    min_df : int, default 20
        Words in fewer documents of their own language count as in few; too few to find pivots with (docs/method.md).
    least_concepts : int, default 15
        Concepts that a pair needs: an item, nine distractors and five shots.
    on_error, workers
        As for `count`.

    Returns
    -------
    LexiconCheck
        Three tables and ``about``. Spellings are compared in NFKC without case, as words are counted.

        - ``words``, one row per accepted word: ``concept, line, language, word``; ``shown``, whether prompts show it;
          ``repeated``, the line of an earlier row that shows it too, for which `read_lexicon` refuses the file;
          ``homographs``, the other languages that spell a word so; ``pieces``, its tokens behind a space;
          ``telling_piece``, which of them first tells it apart (`telling_piece`); ``told_apart``, whether the first
          piece of any spelling does (where none does, a trace appends pieces to the prompt); ``df``, the documents that
          hold it, ``df_own`` those of its language, alone or among others (null where no language is told), and
          ``df_by_language`` those of each set of languages.
        - ``pairs``, one row per pair: ``concepts`` with a word in both languages; of these ``same_spelling``,
          ``look_alikes`` (`alike`), ``shared_piece`` (which the paper's rule excludes), ``not_told_apart`` (either
          word), ``readable`` (other spellings, no shared piece), ``few_documents`` (either word) and ``served``
          (readable, and neither word in few documents); ``enough``, whether these are ``least_concepts``. Without a
          corpus, ``enough`` is of the readable ones.
        - ``languages``, one row per language, over its accepted words.

    Raises
    ------
    TypeError
        An argument is of another kind.
    ValueError
        A pair is unknown, or a number is out of range.
    InputError, CorpusError
        The lexicon or a document cannot be read.

    Notes
    -----
    Cost: one scan of the corpus, and one encoding of every spelling of every word.

    Examples
    --------
    >>> from pivotkit.words.languages import LANGUAGES
    >>> names = {code: LANGUAGES[code] for code in ("en", "fr")}
    >>> small = Lexicon(names, [{"en": "pain", "fr": "douleur"}, {"en": "bread", "fr": "pain"}], ["", ""])
    >>> found = check_lexicon(small)
    >>> [row["word"] for row in found.words.to_pylist() if row["homographs"]], found.pairs["readable"].to_pylist()
    (['pain', 'pain'], [2])
    """
    if not isinstance(lexicon, Lexicon | str | PathLike):
        refuse_kind("check_lexicon", "lexicon", "be a Lexicon or a path (str or Path)", lexicon)
    if not isinstance(lexicon, Lexicon):
        check_path("check_lexicon", "lexicon", lexicon)
    if tokenizer is not None and not hasattr(tokenizer, "all_special_ids"):
        refuse_kind("check_lexicon", "tokenizer", "be a Hugging Face tokenizer or None", tokenizer)
    paths = None if corpus is None else check_paths("check_lexicon", "corpus", corpus)
    given = None if pairs is None else check_strings("check_lexicon", "pairs", pairs)
    check_kind("check_lexicon", "languages", languages, LanguageTable, "a LanguageTable", none=True)
    check_int("check_lexicon", "min_df", min_df, 0)
    check_int("check_lexicon", "least_concepts", least_concepts, 1)
    check_int("check_lexicon", "workers", workers, 1, none=True)
    check_on_error("check_lexicon", on_error)
    if not isinstance(lexicon, Lexicon):
        lexicon = scan_lexicon(Path(lexicon))
    wanted = ["-".join(codes) for codes in itertools.combinations(lexicon.names, 2)] if given is None else given
    for pair in wanted:
        parse_pair(pair, lexicon.names)
    tokens = None if tokenizer is None else WordTokens(tokenizer)
    documents: WordDocuments | None = None
    about: dict[str, Any] = {
        "lexicon": lexicon.path, "concepts": len(lexicon.rows), "min_df": min_df, "least_concepts": least_concepts,
        "left_out": {},
    }  # fmt: skip
    if tokens is None:
        about["left_out"]["tokens"] = "no model was given"
    if paths is None:
        about["left_out"]["documents"] = "no corpus was given"
    else:
        documents, about["documents"] = _counted(lexicon, paths, languages, on_error, workers)
    told = documents is not None and any(map(documents.told, lexicon.names))
    if documents is not None and not told:
        about["left_out"]["languages of documents"] = (
            "no document with a word is told to be in a language of the lexicon; `pivotkit languages` tells them"
        )
    counted = min_df if told else None
    words = word_rows(lexicon, tokens, tokenizer, documents)
    return LexiconCheck(
        pa.Table.from_pylist(words, schema=WORDS),
        pa.Table.from_pylist(pair_rows(lexicon, wanted, words, tokens, counted, least_concepts), schema=PAIRS),
        pa.Table.from_pylist(language_rows(lexicon, words, counted), schema=LANGUAGES),
        about,
    )


def _counted(
    lexicon: Lexicon, corpus: list[Any], languages: LanguageTable | None, on_error: str, workers: int | None
) -> tuple[WordDocuments, int]:
    """The documents of each word, and how many documents there are."""
    watch = WatchList(lexicon.words())
    with tempfile.TemporaryDirectory() as folder:
        counts = count(
            corpus, watch, languages=languages, background=False, on_error=on_error, workers=workers, out=folder
        )
        found: dict[str, dict[str, int]] = {word: {} for word in counts.words}
        for row in counts.by_language().to_pylist():
            found[row["word"]][row["lang"]] = row["df"]
    spelled = {word: found[watch.words[watch.id(word)]] for word in lexicon.words()}
    return WordDocuments(spelled), counts.documents
