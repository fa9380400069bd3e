"""What stages are given: items' words, corpus files, the model; each looked up in one way."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pyarrow as pa

from pivotkit.pipeline.settings import Settings


def watch_words(items: pa.Table, latent: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The words to count and the pairs to count together: source with target, and each with every latent word."""
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


def latent_languages(settings: Settings, items: pa.Table) -> list[str]:
    """The latent languages asked for; English where nothing was said and the lexicon has it."""
    if settings.latent is not None:
        return settings.latent
    return ["en"] if any("en" in dict(row["words"]) for row in items.select(["words"]).to_pylist()) else []


def corpus_paths(settings: Settings) -> list[Path]:
    """The corpus's files, absolute and sorted."""
    from pivotkit.corpus.reading.documents import corpus_files

    if not settings.corpus:
        raise ValueError("pivotkit: corpus must be given; got none")
    return corpus_files(settings.corpus)


def model_files(settings: Settings) -> list[Path]:
    """The model's folder or GGUF file, as an input that may change; a hub id has none."""
    from pivotkit.lens.model.loading import find_model

    place = Path(find_model(_model_name(settings)))
    return [place.absolute()] if place.exists() else []


def loaded_model(settings: Settings) -> tuple[Any, Any, Any]:
    return _loaded(_model_name(settings), settings.dtype)


def model_tokenizer(settings: Settings) -> Any:
    from pivotkit.lens.model.loading import load_tokenizer

    return load_tokenizer(_model_name(settings))


def _model_name(settings: Settings) -> str:
    if settings.model is None:
        raise ValueError("pivotkit: model must be given; got none")
    return settings.model


@functools.lru_cache(maxsize=1)
def _loaded(name: str, dtype: str) -> tuple[Any, Any, Any]:
    """One model at a time in memory, with its tokenizer and its proved head."""
    from pivotkit.lens.model.head import LensHead
    from pivotkit.lens.model.loading import load_model

    model, tokenizer = load_model(name, dtype=dtype)
    return model, tokenizer, LensHead.from_model(model)
