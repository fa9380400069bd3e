"""A small Llama trained on a world's documents and lines: it learns its behaviors."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from pivotkit.artifacts import sweep, temporary_path, write_json
from pivotkit.testbed.world import BOS, World

if TYPE_CHECKING:  # a Recipe is made where nothing is trained
    import torch
    from transformers import LlamaForCausalLM

FORMAT = 1  # to raise when this file or the training loop would give another model by the same recipe


@dataclass(frozen=True)
class Recipe:
    """Shape of the model and of its training.

    Parameters
    ----------
    layers, hidden, heads, feed_forward : int, default 6, 128, 4, 256
        Shape of the Llama model. Its embeddings are tied.
    initial : float, default 0.08
        Standard deviation of the first weights. The usual 0.02 is too small here: small models learn at once from about
        1 / sqrt(hidden).
    length, batch : int, default 64, 16
        Tokens per row, rows per update. The texts are read once, so the world's size decides how long training takes.
    learning_rate : float, default 4e-3
        Highest rate; see `pivotkit.training.loop.train`.
    early : int, default 0
        Step whose copy is kept for continued pre-training; 0 keeps none.
    """

    layers: int = 6
    hidden: int = 128
    heads: int = 4
    feed_forward: int = 256
    initial: float = 0.08
    length: int = 64
    batch: int = 16
    learning_rate: float = 4e-3
    early: int = 0


def cache_folder() -> Path:
    """The folder that keeps trained models: $PIVOTKIT_CACHE, or ``pivotkit`` in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
    return Path(os.environ.get("PIVOTKIT_CACHE", Path(home) / "pivotkit"))


def train_model(world: World, cache: str | Path | None = None, *, recipe: Recipe | None = None, seed: int = 0) -> Path:
    """Train a model on a world, or find one that was trained before.

    Parameters
    ----------
    world : World
        The model is trained on its documents and its lines.
    cache : str or Path, optional
        Folder that keeps trained models; by default `cache_folder`.
    recipe : Recipe, optional
    seed : int, default 0
        Seed of the first weights and of the order of the texts.

    Returns
    -------
    Path
        A folder with ``model`` and, if the recipe asks for it, ``early``: checkpoints of transformers with their
        tokenizer. Its ``training.json`` has recipe, seed, seconds and the loss of each step.

    Raises
    ------
    OSError
        A cache that cannot be written.

    Notes
    -----
    The folder's name is a hash of the world's configuration, the recipe and the seed. The folder appears when all is
    written, so a killed training leaves nothing that looks whole. Training takes three to five minutes on one core.
    Processors round differently, so their models differ a little; `shipped_model` is the same everywhere.
    """
    from pivotkit.lens.model.loading import quiet
    from pivotkit.testbed.tokenizer import build_tokenizer
    from pivotkit.training.loop import train

    recipe = recipe or Recipe()
    settings = {
        "format": FORMAT,
        "world": dataclasses.asdict(world.config),
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
    }
    key = hashlib.sha256(orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    folder = (Path(cache) if cache is not None else cache_folder()) / f"testbed-{key}"
    if folder.is_dir():
        return folder
    quiet()
    begun = time.perf_counter()
    with _whole_folder(folder) as temporary:
        model = new_model(world, recipe, seed)
        tokenizer = build_tokenizer(world.vocabulary)

        def save(name: str) -> None:
            model.save_pretrained(temporary / name)
            tokenizer.save_pretrained(temporary / name)

        rows = training_rows(world, recipe.length, seed)
        losses = train(
            model,
            rows,
            steps=len(rows) // recipe.batch,
            batch=recipe.batch,
            learning_rate=recipe.learning_rate,
            description="training the testbed's model",
            after_step=lambda step: save("early") if step == recipe.early else None,
        )
        save("model")
        write_json({**settings, "seconds": time.perf_counter() - begun, "loss": losses}, temporary / "training.json")
    return folder


def new_model(world: World, recipe: Recipe, seed: int) -> LlamaForCausalLM:
    """Make the untrained model; the global random state stays as it was."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    bos = world.vocabulary.index(BOS)
    config = LlamaConfig(
        vocab_size=len(world.vocabulary),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        initializer_range=recipe.initial,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=bos,
        eos_token_id=bos,
        pad_token_id=bos,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def training_rows(world: World, length: int, seed: int) -> torch.Tensor:
    """Pack a world's documents and lines into rows: early lines among the first documents, late ones among the last."""
    import torch

    from pivotkit.training.loop import pack

    documents, lines = ([row[row >= 0].tolist() for row in part.ids] for part in (world.documents, world.lines))
    first, early = round(len(documents) * (1 - world.config.late)), world.early_blocks
    bos = world.vocabulary.index(BOS)
    stages = [documents[:first] + lines[:early], documents[first:] + lines[early:]]
    return torch.cat([pack(texts, length, bos, seed + stage) for stage, texts in enumerate(stages) if texts])


@contextlib.contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder that takes its name when the block succeeds and vanishes when it fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent)
    temporary = temporary_path(folder)
    temporary.mkdir()
    try:
        yield temporary
        with contextlib.suppress(OSError):  # another process was first, with the same model
            temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if not folder.is_dir():
        raise OSError(f"train_model: cache must let a folder be renamed to {folder}; got a refusal")
