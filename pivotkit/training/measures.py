"""What is measured of a checkpoint: a small run folder, as `pivotkit compare` and `pivotkit report` read it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from pivotkit.artifacts import (
    read_json,
    read_table,
    table_metadata,
    value_digest,
    with_metadata,
    write_json,
    write_table,
)
from pivotkit.lens.behavior import STRICT, classify, sensitivity
from pivotkit.lens.groups import contrast_groups
from pivotkit.lens.model.capture import capture
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.score import score
from pivotkit.lens.trace import trace
from pivotkit.run_folder import RunFolder
from pivotkit.training.translations import Sentences, translate

ALL = "all"  # names the row of all pairs, or languages, together
ANSWER = "answer"
BEHAVIORS = ("pivot", "co-occurrence", "copy", "other")
MASS = "_logmass"


@dataclass(frozen=True)
class Measures:
    """What is asked of every checkpoint.

    Attributes
    ----------
    items : pyarrow.Table
        Of `build_task` or `read_items`.
    tokenizer : a fast Hugging Face tokenizer
    latent : tuple of str
        Languages that traces follow beside source and target.
    held_out : mapping of language to int64 (rows, length)
        Text of which the loss is taken.
    sentences : mapping of pair to Sentences
        Sentences to be translated, before and after the training alone.
    """

    items: pa.Table
    tokenizer: Any
    latent: tuple[str, ...] = ()
    held_out: Mapping[str, torch.Tensor] = field(default_factory=dict)
    sentences: Mapping[str, Sentences] = field(default_factory=dict)

    def digest(self) -> str:
        """Of all that the numbers depend on beside the model."""
        rows = {language: rows.numpy().tolist() for language, rows in self.held_out.items()}
        texts = {pair: [own.shots, own.lines] for pair, own in self.sentences.items()}
        return value_digest([self.items.to_pylist(), list(self.latent), rows, texts])

    def take(self, model: Any, folder: Path, *, of: Mapping[str, Any], translated: bool) -> None:
        """Measure ``model`` into ``folder``, a run folder; what lies there of the same model is not made again.

        Parameters
        ----------
        model : a transformers causal LM in evaluation mode, or a peft model of one
        folder : Path
        of : mapping
            What the model is: how it was trained, and how far. JSON can hold it.
        translated : bool
            Whether it translates ``sentences`` too.
        """
        whole, plain = model, model.get_base_model() if hasattr(model, "get_base_model") else model
        given = {"model": value_digest(dict(of))}
        dtype = str(next(plain.parameters()).dtype).removeprefix("torch.")
        with RunFolder(folder) as run:
            run.configure({"model": str(of.get("name", folder)), "dtype": dtype})
            run.stage(
                "task", ["items.parquet"], lambda: write_table(self.items, run / "items.parquet"),
                settings={"items": value_digest(self.items.to_pylist())},
            )  # fmt: skip
            stages = _Stages(self, plain, run)
            read: dict[str, Any] = {"inputs": ["items.parquet"], "given": given}
            run.stage("score", ["scores.parquet"], stages.score, settings={"dtype": dtype}, **read)
            settings = {"dtype": dtype, "latent": list(self.latent)}
            run.stage("trace", ["traces"], stages.trace, settings=settings, **read)
            outputs = ["behaviors.parquet", "sensitivity.parquet", "curves.parquet"]
            run.stage("behaviors", outputs, stages.behaviors, settings={}, inputs=["traces"])
            if self.held_out:
                held = {language: value_digest(rows.numpy().tolist()) for language, rows in self.held_out.items()}
                run.stage("held-out", ["held_out.json"], stages.held_out, settings=held, given=given)
            if translated and self.sentences:
                texts = {pair: value_digest([own.shots, own.lines]) for pair, own in self.sentences.items()}
                run.stage(
                    "translate", ["translations.parquet", "chrf.json"], lambda: self._translate(whole, run),
                    settings=texts, given=given,
                )  # fmt: skip

    def _translate(self, model: Any, run: RunFolder) -> None:
        table, scores = translate(model, self.tokenizer, self.sentences)
        write_table(table, run / "translations.parquet")
        write_json(scores, run / "chrf.json")


@dataclass(frozen=True)
class _Stages:
    """The stages of one checkpoint's run folder."""

    measures: Measures
    model: Any
    run: RunFolder

    @functools.cached_property
    def head(self) -> LensHead:
        """Described and proved once, by the first stage that needs it."""
        return LensHead.from_model(self.model)

    def score(self) -> None:
        found = score(self.model, self.measures.items, self.measures.tokenizer, head=self.head)
        excluded = sum(found["excluded"].to_pylist())
        write_table(found, self.run / "scores.parquet", {"head": self.head.describe(), "excluded": excluded})

    def trace(self) -> None:
        items, tokenizer, head = self.measures.items, self.measures.tokenizer, self.head
        groups = contrast_groups(items, tokenizer)

        def make(part: pa.Table) -> pa.Table:
            table = trace(self.model, part, tokenizer, latent=self.measures.latent, head=head)
            return with_metadata(table, {**table_metadata(table), "contrast": groups})

        pairs = dict.fromkeys(items["pair"].to_pylist())
        parts = [items.filter(pc.equal(items["pair"], pair)) for pair in pairs]
        self.run.shards("traces", parts, self.run.key, make, "tracing items")

    def behaviors(self) -> None:
        traces = self.run.gather("traces")
        write_table(classify(traces), self.run / "behaviors.parquet")
        write_table(sensitivity(traces), self.run / "sensitivity.parquet")
        write_table(layer_curves(traces), self.run / "curves.parquet")

    @torch.inference_mode()
    def held_out(self) -> None:
        losses = {}
        for language, rows in self.measures.held_out.items():
            device = next(self.model.parameters()).device
            parts = [_losses(self.head, part.to(device)).double().cpu() for part in rows.split(8)]
            losses[language] = {"loss": float(torch.cat(parts).mean()), "tokens": rows[:, 1:].numel()}
        write_json(losses, self.run / "held_out.json")


def _losses(head: LensHead, rows: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of every token after the first of each row, in nats, of logits that are never there all at once."""
    places = [(row, column) for row in range(len(rows)) for column in range(rows.shape[1] - 1)]
    states = capture(head, rows, places, layers=[len(head.blocks)])[0]
    targets = rows[:, 1:].reshape(-1, 1)
    found: Any = head.unembed(states, 1, targets=targets).target_logprobs
    losses: torch.Tensor = -found[:, 0]
    return losses


def layer_curves(traces: pa.Table) -> pa.Table:
    """The mean probability mass of source, target and latent languages at the answer, by pair and layer.

    Returns
    -------
    pyarrow.Table
        ``pair, layer, items``, and a column for each ``<name>_logmass`` of the traces: the mean of ``exp(logmass)``.
    """
    names = [name for name in traces.column_names if name.endswith(MASS)]
    at = traces.filter(pc.equal(traces["label"], ANSWER)).select(["pair", "layer", *names])
    for name in names:
        at = at.append_column(name.removesuffix(MASS), pc.exp(pc.cast(at[name], pa.float64())))
    columns = [name.removesuffix(MASS) for name in names]
    found = at.group_by(["pair", "layer"]).aggregate([("layer", "count"), *((name, "mean") for name in columns)])
    found = found.rename_columns(
        [{"layer_count": "items"}.get(name, name.removesuffix("_mean")) for name in found.column_names]
    )
    return found.select(["pair", "layer", "items", *columns]).sort_by([("pair", "ascending"), ("layer", "ascending")])


def measured(folder: Path) -> Iterator[dict[str, Any]]:
    """The numbers of a checkpoint's run folder: ``measure, of, value, n``, by pair or language and for all together.

    Items whose two words share a piece are left out, as everywhere.
    """
    scores = read_table(folder / "scores.parquet")
    counted = scores.filter(pc.invert(scores["excluded"]))
    judged = read_table(folder / "behaviors.parquet")
    judged = judged.filter(pc.equal(judged["rule"], STRICT))
    pairs = list(dict.fromkeys(scores["pair"].to_pylist()))
    for of in (*pairs, ALL):
        own = counted if of == ALL else counted.filter(pc.equal(counted["pair"], of))
        for measure, column in (("accuracy", "greedy"), ("score", "score"), ("reciprocal rank", "reciprocal_rank")):
            yield _row(measure, of, own[column].to_numpy())
        named = judged if of == ALL else judged.filter(pc.equal(judged["pair"], of))
        told = np.array(named["behavior"].to_pylist(), dtype=object)
        told = told[told != "excluded"]
        for behavior in BEHAVIORS:
            yield _row(behavior, of, (told == behavior).astype(float))
    if (folder / "held_out.json").exists():
        for language, found in read_json(folder / "held_out.json").items():
            yield {"measure": "held-out loss", "of": language, "value": found["loss"], "n": found["tokens"]}
    if (folder / "chrf.json").exists():
        for pair, found in read_json(folder / "chrf.json").items():
            yield {"measure": "chrF", "of": pair, "value": found["chrF"], "n": found["lines"]}


def _row(measure: str, of: str, values: Sequence[float] | np.ndarray[Any, Any]) -> dict[str, Any]:
    known = np.asarray(values, float)
    return {"measure": measure, "of": of, "value": float(known.mean()) if len(known) else None, "n": len(known)}
