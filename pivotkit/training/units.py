"""The trainings of one call of `pretrain`, each of one arm and seed: what is done, and what is still to do."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pivotkit.artifacts import atomic_folder, read_object, write_json
from pivotkit.errors import InputError
from pivotkit.lens.model.loading import load_model
from pivotkit.training.arms import Documents
from pivotkit.training.checkpoints import PREFIX, require_same
from pivotkit.training.measures import Measures, measured
from pivotkit.training.packing import PackedRows
from pivotkit.training.recipe import Recipe

BEFORE = "before"  # the arm without training
UNIT = "unit.json"  # written last: what a finished training was


@dataclass(frozen=True)
class Plan:
    """What all trainings of a call share, and their folders."""

    model: str | Path
    recipe: Recipe
    measures: Measures
    out: Path
    shared: dict[str, Any]
    steps: tuple[int, ...]  # that are measured
    save_every: int | None
    keep: bool

    def before(self) -> None:
        """Measure the model itself."""
        of = {**self.shared, "recipe": {"precision": self.recipe.precision}, "name": str(self.model), "step": 0}
        folder = self.out / BEFORE / "step-0"
        done = folder / UNIT
        wanted = {"model": self.shared["model"], "precision": self.recipe.precision, "measures": self.measures.digest()}
        if done.is_file():
            require_same(done, read_object(done, {"of": dict})["of"], wanted)
            return
        loaded, _ = load_model(self.model, dtype=_dtype(self.recipe), device=_device())
        self.measures.take(loaded, folder, of=of, translated=True)
        write_json({"of": wanted}, done)

    def rows(self, folder: Path, arm: str, seed: int | None, step: int) -> list[dict[str, Any]]:
        """The rows of the result that tell of one checkpoint."""
        tokens = step * self.recipe.batch * self.recipe.length
        return [{"arm": arm, "seed": seed, "step": step, "tokens": tokens, **row} for row in measured(folder)]

    def unit(self, arm: str, seed: int, rows: PackedRows, documents: Documents) -> None:
        """Train on one arm with one seed, unless that is done."""
        folder = self.out / arm / f"seed-{seed}"
        identity = {**self.shared, "arm": arm, "documents": documents.digest, "seed": seed}
        done = {**identity, "measured at": list(self.steps), "measures": self.measures.digest()}
        if (folder / UNIT).is_file():
            require_same(folder / UNIT, read_object(folder / UNIT, {"of": dict})["of"], done)
            if self.keep and not (folder / "model").is_dir():
                rule = "must hold the weights, as `keep` asks; got a training without them"
                raise InputError(folder, "", f"{rule}; choose another `out`, or remove {folder}")
        else:
            self._train(arm, seed, rows, documents, folder, identity)
            if is_first():
                write_json({"of": done}, folder / UNIT)
        if is_first():
            for checkpoint in folder.glob(f"{PREFIX}*"):
                shutil.rmtree(checkpoint)

    def _train(
        self, arm: str, seed: int, rows: PackedRows, documents: Documents, folder: Path, identity: dict[str, Any]
    ) -> None:
        from pivotkit.training.trainer import train_arm  # which takes three seconds to import

        torch.manual_seed(seed)  # of new adapters
        model, tokenizer = load_model(self.model, dtype=_dtype(self.recipe))
        adapter = self.recipe.adapter()
        if adapter is not None:
            import peft

            model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **adapter))
        last = len(rows) // self.recipe.batch
        between = range(self.save_every, last, self.save_every) if self.save_every else ()

        def measure(step: int) -> None:
            for earlier in self.steps:
                if earlier < step and not (folder / f"step-{earlier}").is_dir():
                    rule = f"must hold what was measured after update {earlier}, as `checkpoints` asks; found none"
                    raise InputError(folder, "", f"{rule}; choose another `out`, or remove {folder}")
            if step in self.steps:
                of = {**identity, "name": f"{arm}, seed {seed}, step {step}", "step": step}
                self.measures.take(model, folder / f"step-{step}", of=of, translated=step == last)

        train_arm(
            model, rows, self.recipe, folder, what=f"arm {arm!r}, seed {seed}", identity=identity, seed=seed,
            save_at=frozenset([*self.steps, *between]), check=documents.check, measure=measure,
        )  # fmt: skip
        if self.keep and is_first():
            whole = model.merge_and_unload() if adapter is not None else model
            with atomic_folder(folder / "model") as temporary:
                whole.save_pretrained(temporary)
                tokenizer.save_pretrained(temporary)


def _dtype(recipe: Recipe) -> str:
    return "bfloat16" if recipe.precision == "bfloat16" else "float32"


def _device() -> str | None:
    return "cuda" if torch.cuda.is_available() else None


def is_first() -> bool:
    return os.environ.get("RANK", "0") == "0"
