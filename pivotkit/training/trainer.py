"""One training: transformers' Trainer with the arm's rows in order, checkpoints that are whole, and a log."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from pivotkit.artifacts import atomic_path
from pivotkit.training.checkpoints import PREFIX, finish, last_checkpoint, step_of
from pivotkit.training.loss import loss_from_states
from pivotkit.training.packing import PackedRows
from pivotkit.training.recipe import Recipe, processes

LOG = "log.jsonl"
PROBE = 32  # ids of the first row, on which two ways to the loss are compared
FULL = (
    "No space left", "File too large", "Disk quota exceeded",  # the system, and safetensors after it
    "unexpected pos", "PytorchStreamWriter", "file write failed",  # torch.save
)  # fmt: skip


def train_arm(
    model: Any,
    rows: PackedRows,
    recipe: Recipe,
    folder: Path,
    *,
    what: str,
    identity: Mapping[str, Any],
    seed: int,
    save_at: frozenset[int],
    check: Callable[[], None] = lambda: None,
    measure: Callable[[int], None] = lambda step: None,
) -> None:
    """Train ``model`` in place on ``rows``, in order, once; go on from the last checkpoint in ``folder``.

    Parameters
    ----------
    model : transformers.PreTrainedModel or peft.PeftModel
    rows : PackedRows
    recipe : Recipe
    folder : Path
        Takes checkpoints and ``log.jsonl``: a line per update.
    what : str
        Names the training in errors.
    identity : mapping
        What the training depends on; a checkpoint with another one is refused.
    seed : int
    save_at : frozenset of int
        Updates after which a checkpoint is written.
    check : function, optional
        Called before a checkpoint is written; raises where the arm's files changed.
    measure : function of int, optional
        Called with the number of updates done after each checkpoint, the model in evaluation mode; after a resumption
        for the checkpoint itself, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arguments = _arguments(recipe, folder, seed, len(rows))
    with arguments.main_process_first(local=False):
        checkpoint = last_checkpoint("pretrain", folder, identity)
    watch = _Watch(folder, what, identity, save_at, check, measure, step_of(checkpoint))
    if recipe.gradient_checkpointing:
        enable_checkpointing(model)
    trainer = _Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[watch])
    trainer.remove_callback(PrinterCallback)
    trainer.watch, trainer.warmup = watch, recipe.warmup
    watch.trainer = trainer
    probe = rows[0]["input_ids"][None, :PROBE].to(next(model.parameters()).device)
    with _named_disk(folder), loss_from_states(model, probe):
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    model.eval()


@dataclass(frozen=True)
class _Rate:
    """The learning rate at each update, as a share of the highest."""

    warmup: int
    updates: int

    def __call__(self, update: int) -> float:
        return min((update + 1) / self.warmup, 1.0) * (1 - update / self.updates)


class _Trainer(Trainer):
    """Trainer with rows in their order, that stops where a loss is not finite."""

    watch: _Watch
    warmup: int

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Linear warm-up and decay of which no update has the rate 0, as in `pivotkit.training.loop.train`."""
        rate = _Rate(max(self.warmup, 1), num_training_steps)
        updated: Any = optimizer or self.optimizer
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(updated, rate)
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        return SequentialSampler(rows)

    def training_step(self, *arguments: Any, **more: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*arguments, **more)
        if not bool(torch.isfinite(loss)):
            self.watch.refuse_loss(float(loss), self.state.global_step + 1)
        return loss


class _Watch(TrainerCallback):
    """Says when to save and log, and calls what is to be done at a checkpoint."""

    trainer: Trainer

    def __init__(
        self,
        folder: Path,
        what: str,
        identity: Mapping[str, Any],
        save_at: frozenset[int],
        check: Callable[[], None],
        measure: Callable[[int], None],
        begun: int,
    ) -> None:
        self._folder, self._what, self._identity, self._save_at = folder, what, identity, save_at
        self._check, self._measure, self._begun = check, measure, begun

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.is_world_process_zero:
            cut_log(self._folder / LOG, self._begun)
        if self._begun:
            self._at_checkpoint(self._begun)

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> Any:
        control.should_save = state.global_step in self._save_at
        if control.should_save:
            self._check()
            self._require_finite(state.global_step)
        return control

    def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.trainer.accelerator.wait_for_everyone()  # every process has written its part
        if state.is_world_process_zero:
            finish(self._folder / f"{PREFIX}{state.global_step}", self._identity, state.global_step)
        self._at_checkpoint(state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        if state.is_world_process_zero and logs and "loss" in logs:
            with (self._folder / LOG).open("ab") as file:
                file.write(orjson.dumps({"step": state.global_step, **logs}, option=orjson.OPT_APPEND_NEWLINE))

    def refuse_loss(self, loss: float, step: int) -> None:
        """Stop before an update that would spoil the weights."""
        last = max((step_of(path) for path in self._folder.glob(f"{PREFIX}*")), default=0)
        kept = (
            f"the last good checkpoint is {self._folder / f'{PREFIX}{last}'}" if last else "there is no checkpoint yet"
        )
        raise FloatingPointError(f"pretrain: loss must be finite; got {loss} at update {step} of {self._what}; {kept}")

    def _require_finite(self, step: int) -> None:
        model: Any = self.trainer.model
        if not all(bool(torch.isfinite(weight).all()) for weight in model.parameters()):
            self.refuse_loss(float("nan"), step)

    def _at_checkpoint(self, step: int) -> None:
        model: Any = self.trainer.model
        if self.trainer.is_world_process_zero():
            model.eval()
            with torch.random.fork_rng(), _own_forward(model):
                self._measure(step)
            model.train()
        self.trainer.accelerator.wait_for_everyone()


@contextmanager
def _own_forward(model: Any) -> Iterator[None]:
    """Measure as the model is: accelerate sets a forward method that computes in bfloat16, the loss one of the head."""
    names = ("forward", "_original_forward")
    parts = (model, model.get_output_embeddings())
    put = [{name: part.__dict__.pop(name) for name in names if name in part.__dict__} for part in parts]
    try:
        yield
    finally:
        for part, own in zip(parts, put, strict=True):
            part.__dict__.update(own)


def enable_checkpointing(model: Any) -> None:
    """Keep fewer activations. transformers calls it activation checkpointing since 5, and drops the old name in 6."""
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable({"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable({"use_reentrant": False})


def cut_log(path: Path, step: int) -> None:
    """Leave the lines of the log up to ``step``; later ones come again."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    kept = [line for line in lines if line.endswith(b"\n") and orjson.loads(line)["step"] <= step]
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"".join(kept))


def _arguments(recipe: Recipe, folder: Path, seed: int, rows: int) -> TrainingArguments:
    number = processes()
    size = recipe.rows_at_once("pretrain", number)
    cpu = not torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=size,
        gradient_accumulation_steps=recipe.batch // (size * number),
        max_steps=rows // recipe.batch,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.clip,
        optim="adamw_torch_fused",
        bf16=recipe.precision == "mixed",
        seed=seed,
        data_seed=seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to=["tensorboard"] if _has_tensorboard() else [],
        disable_tqdm=True,
        use_cpu=cpu,
        ddp_timeout=7200,  # one process measures while the others wait
        ddp_find_unused_parameters=False if number > 1 else None,
        dataloader_pin_memory=not cpu,
        remove_unused_columns=False,
    )


def _has_tensorboard() -> bool:
    from transformers.integrations.integration_utils import is_tensorboard_available

    return bool(is_tensorboard_available())


@contextmanager
def _named_disk(folder: Path) -> Iterator[None]:
    """Give an error of a full disk, which each writer words in its own way, its kind and the folder's name."""
    try:
        yield
    except FloatingPointError:
        raise
    except Exception as error:
        # safetensors has an error of its own, and torch a RuntimeError that does not tell the number.
        writer = isinstance(error, OSError | RuntimeError) or type(error).__name__ == "SafetensorError"
        if not writer or not any(word in str(error) for word in FULL):
            raise
        told = re.search(r"os error (\d+)", str(error))
        number = getattr(error, "errno", None) or (int(told[1]) if told else errno.ENOSPC)
        raise OSError(number, os.strerror(number), str(folder)) from error
