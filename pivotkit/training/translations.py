"""Sentences that a model translates after a few examples, and chrF against their references."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import zstandard

from pivotkit.errors import BackendUnavailable, InputError
from pivotkit.words.languages import LANGUAGES, parse_pair

SHOTS = 3
LONGEST = 200  # characters of a sentence, so that the translation fits the tokens that are made
NEW_TOKENS = 96
BATCH = 25  # sentences of like length that are translated at a time
SUFFIXES = (".tsv", ".tsv.zst")


@dataclass(frozen=True)
class Sentences:
    """Sentences of one pair of languages: those that the prompt shows, and those that are asked for."""

    pair: str
    shots: list[tuple[str, str]]
    lines: list[tuple[str, str]]

    def prompt(self, source: str) -> str:
        """The examples, each as two named lines, and the source with an open line behind it."""
        names = [LANGUAGES.get(code, code) for code in parse_pair(self.pair)]
        shown = "".join(f"{names[0]}: {one}\n{names[1]}: {other}\n\n" for one, other in self.shots)
        return f"{shown}{names[0]}: {source}\n{names[1]}:"


def read_sentences(
    function: str, path: str | PathLike[str], pairs: Sequence[str], lines: int, seed: int
) -> dict[str, Sentences]:
    """Sentences of a table, or of a folder of tables, one column per language.

    Parameters
    ----------
    path : path
        A ``.tsv`` or ``.tsv.zst`` file whose header names language codes, or a folder of such files; an empty cell
        stands where a sentence is missing.
    pairs : sequence of str
    lines : int
        Sentences per pair, at most, beside three that the prompt shows.
    seed : int
        Seed of their choice.

    Returns
    -------
    dict of pair to Sentences
        Pairs of which no file has a sentence in both columns are left out.

    Raises
    ------
    InputError
        No table, no sentence of any pair, or a pair without one sentence beside those that the prompt shows.
    """
    place = Path(path)
    files = sorted(file for file in place.iterdir() if file.name.endswith(SUFFIXES)) if place.is_dir() else [place]
    if not files:
        raise InputError(place, "", f"must hold {' or '.join(SUFFIXES)} files; found none")
    both: dict[str, list[tuple[str, str]]] = {pair: [] for pair in pairs}
    for file in files:
        rows = _rows(file)
        header = next(rows, [])
        known = {pair: codes for pair in pairs if set(codes := parse_pair(pair)) <= set(header)}
        places = {pair: [header.index(code) for code in codes] for pair, codes in known.items()}
        for row in rows:
            for pair, (source, target) in places.items():
                if len(row) > max(source, target):
                    one, other = row[source].strip(), row[target].strip()
                    if one and other and max(len(one), len(other)) <= LONGEST:
                        both[pair].append((one, other))
    found = {}
    for pair, sentences in both.items():
        once = list({source: (source, target) for source, target in sentences}.values())  # one reference a source
        if not once:
            continue
        if len(once) <= SHOTS:
            rule = f"{function} must find {SHOTS + 1} sentences of {pair} of at most {LONGEST} characters"
            raise InputError(place, "", f"{rule}; got {len(once)}")
        order = np.random.default_rng(seed).permutation(len(once))[: lines + SHOTS]
        chosen = [once[number] for number in order.tolist()]
        found[pair] = Sentences(pair, chosen[:SHOTS], chosen[SHOTS:])
    if not found:
        raise InputError(place, "", f"{function} must find sentences of {' or '.join(pairs)}; found none")
    return found


def _rows(file: Path) -> Iterator[list[str]]:
    with file.open("rb") as raw:
        stream: Any = zstandard.ZstdDecompressor().stream_reader(raw) if file.name.endswith(".zst") else raw
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        yield from csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE)


def require_sacrebleu(function: str) -> None:
    """Refuse to go on without sacrebleu."""
    try:
        import sacrebleu  # noqa: F401
    except ImportError:
        rule = f"{function}: sacrebleu must be installed for chrF"
        raise BackendUnavailable(f"{rule} (pip install 'pivotkit[train]'); got none") from None


@torch.inference_mode()
def translate(
    model: Any, tokenizer: Any, sentences: Mapping[str, Sentences]
) -> tuple[pa.Table, dict[str, dict[str, Any]]]:
    """Translate sentences greedily, and score them.

    Returns
    -------
    table : pyarrow.Table
        ``pair, source, reference, translation``: the first line of what the model says.
    scores : dict
        By pair: ``chrF`` (sacrebleu's, of all lines together, from 0 to 100), ``lines``, and its ``signature``.
    """
    require_sacrebleu("pretrain")
    from sacrebleu.metrics.chrf import CHRF

    rows, scores = [], {}
    for pair, own in sentences.items():
        sources = [source for source, _ in own.lines]
        said, order = [""] * len(sources), sorted(range(len(sources)), key=lambda place: len(sources[place]))
        for begin in range(0, len(order), BATCH):
            places = order[begin : begin + BATCH]
            texts = _said(model, tokenizer, [own.prompt(sources[place]) for place in places])
            for place, text in zip(places, texts, strict=True):
                said[place] = text
        metric = CHRF()
        found = metric.corpus_score(said, [[reference for _, reference in own.lines]])
        scores[pair] = {"chrF": found.score, "lines": len(own.lines), "signature": str(metric.get_signature())}
        rows += [
            {"pair": pair, "source": source, "reference": reference, "translation": text}
            for (source, reference), text in zip(own.lines, said, strict=True)
        ]
    names = ("pair", "source", "reference", "translation")
    return pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in names])), scores


def _line_end(tokenizer: Any) -> Any:
    """What ends each row with the token that holds a line break."""
    from transformers import StoppingCriteria, StoppingCriteriaList

    class LineEnd(StoppingCriteria):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **more: Any) -> torch.Tensor:
            last = tokenizer.batch_decode(input_ids[:, -1:])
            return torch.tensor(["\n" in text for text in last], device=input_ids.device)

    return StoppingCriteriaList([LineEnd()])


def _said(model: Any, tokenizer: Any, prompts: Sequence[str]) -> list[str]:
    """The first line that the model says to each of some prompts, padded on the left."""
    encoded = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    longest = max(map(len, encoded))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
    ids = torch.full((len(encoded), longest), pad, dtype=torch.int64)
    kept = torch.zeros_like(ids)
    for row, one in enumerate(encoded):
        ids[row, longest - len(one) :] = torch.tensor(one)
        kept[row, longest - len(one) :] = 1
    device = next(model.parameters()).device
    made = model.generate(
        input_ids=ids.to(device), attention_mask=kept.to(device), max_new_tokens=NEW_TOKENS, do_sample=False,
        num_beams=1, pad_token_id=pad, stopping_criteria=_line_end(tokenizer),
    )  # fmt: skip
    texts = tokenizer.batch_decode(made[:, longest:], skip_special_tokens=True)
    return [text.strip().split("\n")[0].strip() for text in texts]
