"""The stage that continues training: a model and arms of documents -> what each checkpoint answers."""
# ruff: noqa: RUF009 (option is dataclasses.field with a help text)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pivotkit.artifacts import file_digest, read_table, write_table
from pivotkit.errors import InputError
from pivotkit.pipeline.inputs import MODEL, latent_languages
from pivotkit.pipeline.settings import Settings, option
from pivotkit.pipeline.stage import Stage
from pivotkit.run_folder import RunFolder

ARMS = ("selection", "controls")  # the run's own
HELD_OUT_TEXTS = 200  # documents of each language that are read, at most


@dataclass(repr=False)
class PretrainSettings(Settings):
    """The settings of a run, and what continued pre-training adds."""

    arms: dict[str, str] = option(
        {}, "folders of selections as tokens: pivot=DIR,random=DIR; by default, the run's selection and its controls"
    )
    train_tokens: int | None = option(None, "tokens of each training; an arm with fewer is refused", least=1)
    train_seeds: list[int] = option([0, 1], "seeds of the order of documents; one training per arm and seed", least=0)
    recipe: str | None = option(None, "YAML file of how to train: length, batch, learning_rate, precision, lora, ...")
    checkpoints: int = option(1, "how many times each training is measured, the last at its end", least=1)
    save_every: int | None = option(
        None, "updates between checkpoints that a killed training resumes at", result=False, least=1
    )
    held_out: dict[str, str] = option({}, "text whose loss is measured, by language: fr=FILE; keep it out of the arms")
    parallel: str | None = option(
        None, "table of sentences (.tsv, .tsv.zst; a column per language) or folder of them, for chrF"
    )
    lines: int = option(50, "sentences of each pair that are translated, at most", least=1)


def pretrain(run: RunFolder, settings: PretrainSettings) -> None:
    from pivotkit.corpus.reading.documents import read_documents
    from pivotkit.training.pretrain import pretrain as train_arms

    if settings.train_tokens is None:
        raise ValueError("pretrain: --train-tokens must be given; got none")
    assert settings.model is not None, "the stage must read MODEL"

    def texts(file: str) -> list[str]:
        found: list[str] = []
        for batch in read_documents(file):
            found += batch.texts
            if len(found) >= HELD_OUT_TEXTS:
                break
        return found[:HELD_OUT_TEXTS]

    table = train_arms(
        settings.model, arms_of(run, settings), read_table(run / "items.parquet"), tokens=settings.train_tokens,
        out=run / "pretrain", seeds=settings.train_seeds, recipe=read_recipe(settings.recipe),
        checkpoints=settings.checkpoints, save_every=settings.save_every,
        latent=latent_languages(run, settings)["latent"],
        held_out={language: texts(file) for language, file in settings.held_out.items()} or None,
        parallel=settings.parallel, lines=settings.lines,
    )  # fmt: skip
    write_table(table, run / "pretrain.parquet")


def arms_of(run: RunFolder, settings: PretrainSettings) -> dict[str, Path]:
    """The folder of each arm, by name: those that were given, or the run's selection and its controls."""
    if settings.arms:
        return {name: Path(folder).absolute() for name, folder in settings.arms.items()}
    selection, controls = (run / name for name in ARMS)
    folders = [selection, *(path.parent for path in sorted(controls.glob("*/manifest.json")))]
    return {folder.name: folder.absolute() for folder in folders}


def read_recipe(path: str | None) -> Mapping[str, Any] | None:
    """The fields of a recipe in a YAML file."""
    import yaml

    if path is None:
        return None
    try:
        found = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(path, "", f"must be a YAML file; {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise InputError(path, "", f"must hold fields of a recipe; got {type(found).__name__}")
    return found


def _given(run: RunFolder, settings: Any) -> dict[str, Any]:
    """The contents of what the user names: arms by their manifests, which hold the digests of their files."""
    arms = {name: folder / "manifest.json" for name, folder in arms_of(run, settings).items()}
    held_out = {name: Path(file) for name, file in settings.held_out.items()}
    place = Path(settings.parallel) if settings.parallel is not None else None
    tables = [] if place is None else [place]
    if place is not None and place.is_dir():
        tables = sorted(file for file in place.iterdir() if file.is_file())
    files = {"arms": arms, "held_out": held_out, "parallel": {file.name: file for file in tables}}
    for file in (file for named in files.values() for file in named.values()):
        if not file.is_file():
            raise InputError(file, "", "must be there for the stage pretrain; found none")
    return {
        **latent_languages(run, settings),
        "recipe": dict(read_recipe(settings.recipe) or {}),
        "files": {kind: {name: file_digest(file) for name, file in named.items()} for kind, named in files.items()},
    }


PRETRAIN = Stage(
    name="pretrain",
    help="continue training the model on selections of equal tokens, and measure every checkpoint on the run's items",
    run=pretrain,
    reads=("items.parquet", *ARMS, MODEL),
    needs=lambda settings: ("items.parquet", *(() if settings.arms else ARMS), MODEL),
    writes=("pretrain", "pretrain.parquet"),
    settings=(
        "arms", "train_tokens", "train_seeds", "recipe", "checkpoints", "save_every", "held_out", "parallel", "lines",
        "latent",
    ),
    functions=("training.pretrain.pretrain",),
    depends=_given,
    form=PretrainSettings,
)  # fmt: skip
