"""What the user gives a stage: lexicon, corpus or token files, model. Each is looked up in one way, here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pivotkit.arguments import check_text
from pivotkit.artifacts import read_table, table_metadata
from pivotkit.pipeline.settings import Settings, flag
from pivotkit.run_folder import RunFolder
from pivotkit.words.languages import parse_pair

if TYPE_CHECKING:
    from pivotkit.corpus.reading.token_files import TokenFiles
    from pivotkit.corpus.token_store.store import TokenStore


def lexicon_path(settings: Settings) -> Path:
    """The lexicon's file, absolute."""
    assert settings.lexicon is not None, "the stage must read LEXICON"
    return Path(settings.lexicon).absolute()


def items_path(settings: Settings) -> Path:
    """The file of items of the user's own, absolute."""
    assert settings.items is not None, "the stage must read ITEMS"
    return Path(settings.items).absolute()


def corpus_paths(settings: Settings) -> list[Path]:
    """The corpus's files, absolute and sorted."""
    from pivotkit.corpus.reading.documents import corpus_files

    return corpus_files(settings.corpus)


def token_paths(settings: Settings) -> list[Path]:
    """The token files with the indexes beside them, or the folder of a store; absolute."""
    from pivotkit.corpus.reading.token_files import token_paths as paths
    from pivotkit.corpus.reading.token_formats import index_of

    if settings.token_format == "store":
        return [Path(folder).absolute() for folder in settings.token_files]
    files = paths(settings.token_files, settings.token_format)
    return [path for file in files for path in (file, index_of(file, settings.token_format)) if path is not None]


def given_tokens(function: str, settings: Settings) -> TokenFiles | TokenStore:
    """The tokens that the user gave. The model's tokenizer says what no setting does."""
    from pivotkit.corpus.reading.token_files import TokenFiles
    from pivotkit.corpus.token_store.encode import tokenizer_core, vocabulary_size
    from pivotkit.corpus.token_store.store import TokenStore

    if settings.token_format == "store":
        check_no_token_options(function, settings, "a store", but="token_format")
        if len(settings.token_files) != 1:
            raise ValueError(f"{function}: --tokens must be one store; got {len(settings.token_files)}")
        return TokenStore.open(settings.token_files[0])
    vocab_size, eos, fingerprint = settings.vocab_size, settings.eos, None
    if settings.model is not None:
        tokenizer = model_tokenizer(settings)
        core, fingerprint = tokenizer_core(function, tokenizer)
        vocab_size = vocabulary_size(core) if vocab_size is None else vocab_size
        eos = tokenizer.eos_token_id if eos is None and settings.token_format == "olmo" else eos
    for name, value in (("--vocab-size", vocab_size), ("--eos", eos)):
        if value is None and (name != "--eos" or settings.token_format == "olmo"):
            raise ValueError(f"{function}: {name} must be given, or a model whose tokenizer has it; got neither")
    assert vocab_size is not None
    return TokenFiles(
        settings.token_files, vocab_size, settings.token_format, settings.token_dtype, eos, settings.bos, fingerprint
    )


def check_no_token_options(function: str, settings: Settings, what: str, but: str = "") -> None:
    """Refuse settings that describe token files, ``but`` one, where ``what`` is read."""
    plain = type(settings)()
    about = [option for option in fields(settings) if option.metadata.get("of") == TOKEN_FILES and option.name != but]
    for option in about:
        if (value := getattr(settings, option.name)) != getattr(plain, option.name):
            raise ValueError(f"{function}: {flag(option)} must not be given for {what}; got {value}")


def model_paths(settings: Settings) -> list[Path]:
    """The model's folder or GGUF file; a hub id has none."""
    from pivotkit.lens.model.loading import find_model

    place = Path(find_model(_model_name(settings)))
    return [place.absolute()] if place.exists() else []


def tuned_lens_paths(settings: Settings) -> list[Path]:
    """The fitted lens's folder or file, absolute; none for the raw lens."""
    return [] if settings.tuned_lens is None else [Path(settings.tuned_lens).absolute()]


def language_paths(settings: Settings) -> list[Path]:
    """The folder of the table of languages, absolute; none where the ``lang`` field tells them."""
    return [] if settings.languages is None else [Path(settings.languages).absolute()]


def drop_paths(settings: Settings) -> list[Path]:
    """The table of documents that are never taken, absolute; none where all may be."""
    return [] if settings.drop is None else [Path(settings.drop).absolute()]


# The settings that name something to read. A stage lists them among its `reads`; their files are inputs of the stage.
LEXICON, PAIRS, CORPUS, MODEL, TUNED_LENS = "lexicon", "pairs", "corpus", "model", "tuned_lens"
TOKEN_FILES, LANGUAGES, ITEMS, DROP = "token_files", "languages", "items", "drop"
GIVEN: dict[str, Callable[[Settings], list[Path]]] = {
    LEXICON: lambda settings: [lexicon_path(settings)],
    ITEMS: lambda settings: [items_path(settings)],
    PAIRS: lambda settings: [],
    CORPUS: corpus_paths,
    TOKEN_FILES: token_paths,
    MODEL: model_paths,
    TUNED_LENS: tuned_lens_paths,
    LANGUAGES: language_paths,
    DROP: drop_paths,
}


def watch_words(items: pa.Table, latent: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The words to count and the pairs to count: source with target, and each of them with every latent word."""
    words: dict[str, None] = {}
    pairs: dict[tuple[str, str], None] = {}
    for row in items.select(["source", "target", "words"]).to_pylist():
        known = dict(row["words"])
        between = [known[code] for code in latent if code in known]
        words.update(dict.fromkeys([row["source"], row["target"], *between]))
        pairs[row["source"], row["target"]] = None
        for middle in between:
            pairs.update(dict.fromkeys((word, middle) for word in (row["source"], row["target"]) if word != middle))
    return list(words), [(first, second) for first, second in pairs if first != second]


def watched_languages(items: pa.Table) -> list[tuple[str, str]]:
    """Each source and target with its language, once."""
    codes = table_metadata(items).get("languages")
    rows = items.select(["pair", "source", "target"]).to_pylist()
    both = ((row, parse_pair(row["pair"], codes)) for row in rows)
    return list(
        dict.fromkeys(word for row, pair in both for word in zip((row["source"], row["target"]), pair, strict=True))
    )


def latent_languages(run: RunFolder, settings: Settings) -> dict[str, list[str]]:
    """The setting ``latent`` with its default filled in: English where the lexicon has it."""
    if settings.latent is not None:
        known = table_metadata(read_table(run / "items.parquet")).get("languages", settings.latent)
        for code in settings.latent:
            check_text("pivotkit", "--latent", code, tuple(known))
        return {"latent": settings.latent}
    words = read_table(run / "items.parquet")["words"].to_pylist()
    return {"latent": ["en"] if any("en" in dict(row) for row in words) else []}


def loaded_model(settings: Settings) -> tuple[Any, Any, Any]:
    """The model with its tokenizer and its proved head."""
    return _loaded(_model_name(settings), settings.dtype, settings.device)


def model_tokenizer(settings: Settings) -> Any:
    """The model's tokenizer, without the model."""
    from pivotkit.lens.model.loading import load_tokenizer

    return load_tokenizer(_model_name(settings))


def _model_name(settings: Settings) -> str:
    assert settings.model is not None, "the stage must read MODEL"
    return settings.model


@functools.lru_cache(maxsize=1)  # one model at a time in memory
def _loaded(name: str, dtype: str, device: str | None) -> tuple[Any, Any, Any]:
    from pivotkit.lens.model.head import LensHead
    from pivotkit.lens.model.loading import load_model

    model, tokenizer = load_model(name, dtype=dtype, device=device)
    return model, tokenizer, LensHead.from_model(model)
