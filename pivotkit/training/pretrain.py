"""Continued pre-training: which selection of documents teaches a model most translation?"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pivotkit.arguments import (
    check_flag,
    check_int,
    check_kind,
    check_path,
    check_strings,
    elements,
    refuse,
    refuse_kind,
)
from pivotkit.artifacts import (
    file_digests,
    require_columns,
    value_digest,
    write_table,
)
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import BackendUnavailable
from pivotkit.lens.model.loading import find_model, load_tokenizer, quiet
from pivotkit.training.arms import Given, open_documents
from pivotkit.training.measures import Measures
from pivotkit.training.packing import PackedRows
from pivotkit.training.recipe import Recipe, processes
from pivotkit.training.translations import read_sentences, require_sacrebleu
from pivotkit.training.units import BEFORE, Plan, is_first

HELD_OUT_ROWS = 16  # of each language
RESULT = "pretrain.parquet"
TABLE = pa.schema(
    [("arm", pa.string()), ("seed", pa.int64()), ("step", pa.int64()), ("tokens", pa.int64()), ("measure", pa.string()),
     ("of", pa.string()), ("value", pa.float64()), ("n", pa.int64())]
)  # fmt: skip


def pretrain(
    model: str | PathLike[str],
    arms: Mapping[str, Given],
    items: pa.Table,
    *,
    tokens: int,
    out: str | PathLike[str],
    seeds: Sequence[int] = (0, 1),
    recipe: Recipe | Mapping[str, Any] | None = None,
    checkpoints: int = 1,
    save_every: int | None = None,
    latent: Sequence[str] = (),
    held_out: Mapping[str, Given] | None = None,
    parallel: str | PathLike[str] | None = None,
    lines: int = 50,
    keep: bool = False,
) -> pa.Table:
    """Continue training a model on each arm at equal tokens, and measure every checkpoint on the same items.

    An arm's documents are shuffled by the seed, each ended by ``eos``, and cut into rows of ``recipe.length`` tokens,
    which are read once, in order, straight from the files. Training is that of transformers' Trainer on accelerate:
    AdamW, gradients clipped, the rate rising and falling linearly. The same call goes on with what was stopped: at the
    last checkpoint, with the same rows.

    Parameters
    ----------
    model : str or Path
        A causal LM as for `load_model`; read for every arm and seed, never written.
    arms : mapping of str to arms
        Each a folder that `write_selection` wrote as tokens, `TokenFiles`, a `TokenStore`, or an iterable of documents:
        texts, or 1-D ids of the model's tokenizer.
    items : pyarrow.Table
        Questions, from `build_task` or `read_items`.
    tokens : int
        Tokens per training, rounded down to whole updates. An arm with fewer is refused before any is trained.
    out : str or Path
        Folder of the results. ``<arm>/seed-<n>/step-<n>/`` and ``before/step-0/`` are run folders of items, scores,
        traces, behaviors (`classify`) and layer curves, which `write_comparison` sets side by side;
        ``<arm>/seed-<n>/log.jsonl`` has a line per update. ``pretrain.parquet`` is the result.
    seeds : sequence of int, default (0, 1)
        Seeds of the order of documents; one training per arm and seed.
    recipe : Recipe or mapping, optional
        Sizes, rates, number formats, gradient checkpointing, LoRA: `Recipe`, or its fields as a file of settings has
        them.
    checkpoints : int, default 1
        How many times each training is measured, at equal distances; the last is its end.
    save_every : int, optional
        Updates between checkpoints that a killed training resumes at; by default those that are measured.
    latent : sequence of str, default ()
        Languages that traces follow beside source and target (`trace`).
    held_out : mapping of language to documents, optional
        As an arm; the loss on up to 16 rows of each is measured. Keep them out of every arm.
    parallel : str or Path, optional
        A table of sentences, ``.tsv`` or ``.tsv.zst`` with a column per language, or a folder of them: the model
        translates up to ``lines`` of each pair, before and after the training, and chrF (sacrebleu) is measured.
    lines : int, default 50
        A pair of which the tables have fewer takes what there is; ``n`` tells.
    keep : bool, default False
        Whether the trained weights stay, in ``<arm>/seed-<n>/model``, LoRA merged.

    Returns
    -------
    pyarrow.Table
        ``arm, seed, step, tokens, measure, of, value, n``. ``measure`` is ``accuracy`` (greedy decoding begins with an
        accepted target), ``score`` (the contrastive score), ``reciprocal rank``, a behavior of the strict rule (its
        share), ``held-out loss`` (nats per token) or ``chrF``; ``of`` the pair, ``all``, or the language; ``n`` how
        many items, tokens or lines it is a mean of. The arm ``"before"`` is the model itself and has no seed. Of
        several processes the first returns it, and the others an empty table.

    Raises
    ------
    TypeError
        An argument is of another kind.
    ValueError
        Sizes that allow no training, an arm with fewer tokens than ``tokens``, a name that no folder can have, an id
        that the model does not have, ids of another tokenizer.
    CorpusError
        A file of an arm is not as its manifest says, or changed while it was read; the message names it.
    InputError
        ``out`` holds a training of something else: another arm under this name, model, seed, recipe. The message
        says what differs. Or ``parallel`` has no sentences of any pair.
    FloatingPointError
        A loss that is not finite: the message names update, arm and seed, and the last good checkpoint, which stays.
    OSError
        A full disk; the last good checkpoint stays.
    BackendUnavailable
        accelerate, or what an option needs (peft, sacrebleu), is not installed.

    Notes
    -----
    In several processes (``torchrun``, ``accelerate launch``) every process makes the same call and holds the whole
    model; the first measures while the others wait. ``recipe.batch`` counts rows over all processes, so losses are
    those of one process up to rounding. Weights are float32 unless ``recipe.precision`` is "bfloat16". Equal calls give
    equal losses on one kind of machine and number of threads.

    Cost: per training about ``6 * parameters * tokens`` operations, ``16 * parameters`` bytes in float32 beside the
    activations and half a gigabyte of logits, and ``12 * parameters`` bytes on disk per checkpoint, of which one is
    kept. The loss is the model's own up to rounding, taken from the states before its head. ``tokens / seconds`` of
    real models, and what a measure costs, are in benchmarks/README.md.
    """
    _require("accelerate", "accelerate", "training")
    how = _recipe(recipe)
    check_path("pretrain", "model", model)
    _check_arms("arms", arms)
    require_columns("pretrain", "items", items, ("item", "pair", "concept", "source", "target", "prompt"))
    if not items.num_rows:
        raise ValueError("pretrain: items must have rows; got none")
    check_int("pretrain", "tokens", tokens, 1)
    check_path("pretrain", "out", out)
    orders = _check_seeds(seeds)
    check_int("pretrain", "checkpoints", checkpoints, 1)
    check_int("pretrain", "save_every", save_every, 1, none=True)
    languages = tuple(check_strings("pretrain", "latent", latent))
    if held_out is not None:
        _check_arms("held_out", held_out)
    check_path("pretrain", "parallel", parallel, none=True)
    check_int("pretrain", "lines", lines, 1)
    check_flag("pretrain", "keep", keep)
    rows = how.rows("pretrain", tokens)
    steps = _steps(rows // how.batch, checkpoints)
    how.rows_at_once("pretrain", processes())
    if (adapter := how.adapter()) is not None:
        _require("peft", "lora", "adapters")
        _check_adapter(adapter)
    if parallel is not None:
        require_sacrebleu("pretrain")
    quiet()
    source = model if isinstance(model, str) else Path(model)
    tokenizer = load_tokenizer(source)
    vocab = len(tokenizer)
    pairs = list(dict.fromkeys(items["pair"].to_pylist()))
    measures = Measures(
        items,
        tokenizer,
        languages,
        {language: _held_out(language, given, tokenizer, vocab, how) for language, given in (held_out or {}).items()},
        {} if parallel is None else read_sentences("pretrain", parallel, pairs, lines, 0),
    )
    opened = {arm: open_documents("pretrain", "arms", arm, given, tokenizer, vocab) for arm, given in arms.items()}
    packed = {(arm, seed): PackedRows("pretrain", documents, how.length, rows, seed)
              for arm, documents in opened.items() for seed in orders}  # fmt: skip
    place = Path(out)
    place.mkdir(parents=True, exist_ok=True)
    shared = {"model": _model_digest(source), "tokens": rows * how.length, "recipe": _kept(how)}
    plan = Plan(source, how, measures, place, shared, steps, save_every, keep)
    if is_first():
        plan.before()
    for (arm, seed), own in packed.items():
        plan.unit(arm, seed, own, opened[arm])
    if not is_first():
        return TABLE.empty_table()
    found = plan.rows(place / BEFORE / "step-0", BEFORE, None, 0)
    for arm, seed in packed:
        for step in steps:
            found += plan.rows(place / arm / f"seed-{seed}" / f"step-{step}", arm, seed, step)
    table = pa.Table.from_pylist(found, schema=TABLE)
    write_table(table, place / RESULT)
    return table


def _recipe(recipe: Any) -> Recipe:
    check_kind("pretrain", "recipe", recipe, Recipe | Mapping, "a Recipe, a mapping of its fields", none=True)
    if isinstance(recipe, Recipe):
        return recipe
    given = dict(recipe or {})
    unknown = [name for name in given if name not in Recipe.__dataclass_fields__]
    if unknown:
        refuse("pretrain", "recipe", f"have the fields {', '.join(Recipe.__dataclass_fields__)}", unknown[0])
    return Recipe(**given)


def _held_out(language: str, given: Given, tokenizer: Any, vocab: int, recipe: Recipe) -> torch.Tensor:
    documents = open_documents("pretrain", "held_out", language, given, tokenizer, vocab)
    count = min(HELD_OUT_ROWS, documents.tokens // recipe.length)
    if count < 1:
        rule = f"hold at least one row of {recipe.length} tokens a language"
        raise ValueError(f"pretrain: held_out must {rule}; got {documents.tokens} in {documents.name}")
    rows = PackedRows("pretrain", documents, recipe.length, count, 0)
    return torch.from_numpy(np.stack([rows.ids(row) for row in range(count)]))


def _steps(updates: int, checkpoints: int) -> tuple[int, ...]:
    """The updates after which is measured: ``checkpoints`` of them at equal distances, the last at the end."""
    if checkpoints > updates:
        refuse("pretrain", "checkpoints", f"be at most the number of updates, {updates}", checkpoints)
    return tuple(sorted({round(updates * number / checkpoints) for number in range(1, checkpoints + 1)}))


def _kept(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe decides the losses: not how many rows are read at once."""
    kept = {
        name: value for name, value in asdict(recipe).items() if name not in ("micro_batch", "gradient_checkpointing")
    }
    return {**kept, "lora": recipe.adapter()}


def _model_digest(model: str | Path) -> str:
    """Of a model's files; of a hub id, its name."""
    place = Path(find_model(model))
    files = [place] if place.is_file() else sorted(place.glob("*.safetensors")) + sorted(place.glob("config.json"))
    return value_digest(file_digests(files) if files else str(model))


def _require(package: str, argument: str, what: str) -> None:
    if importlib.util.find_spec(package) is None:
        rule = f"pretrain: {package} must be installed for {what} ({argument})"
        raise BackendUnavailable(f"{rule}: pip install 'pivotkit[train]'; got none")


def _check_adapter(adapter: Mapping[str, Any]) -> None:
    from peft import LoraConfig

    for name in adapter:
        if name not in LoraConfig.__dataclass_fields__:
            refuse("pretrain", "lora", "have fields of peft.LoraConfig", name)


def _check_arms(argument: str, arms: Any) -> None:
    check_kind("pretrain", argument, arms, Mapping, "a mapping of names to documents")
    if not arms:
        raise ValueError(f"pretrain: {argument} must hold at least one; got none")
    for name, given in arms.items():
        if not isinstance(name, str) or not name or name in (BEFORE, RESULT, ".", "..") or set(name) & {"/", "\0"}:
            refuse("pretrain", argument, f"be named as a folder can be, and not {BEFORE!r}", name)
        if not isinstance(given, str | PathLike | TokenFiles | TokenStore):
            kinds = "folders, TokenFiles, a TokenStore, or iterables of texts or ids"
            if isinstance(given, Mapping | bytes) or not isinstance(given, Iterable):
                refuse_kind("pretrain", argument, f"hold {kinds}", given)


def _check_seeds(seeds: Any) -> list[int]:
    listed = elements("pretrain", "seeds", seeds, "a sequence of ints")
    if not listed:
        raise ValueError("pretrain: seeds must hold at least one; got none")
    for seed in listed:
        check_int("pretrain", "seeds", seed, 0, 2**32 - 1)
    return [int(seed) for seed in dict.fromkeys(listed)]
