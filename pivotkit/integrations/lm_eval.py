"""The translation task as tasks of lm-evaluation-harness."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import yaml

from pivotkit.artifacts import atomic_path, require_columns
from pivotkit.words.prompts import Prompt
from pivotkit.words.questions import questions
from pivotkit.words.task import excluded_items, require_candidates, task_prompt

COLUMNS = ("item", "pair", "source", "target", "distractors", "contexts")


def export_lm_eval(
    items: pa.Table, folder: str | Path, *, name: str = "pivotkit_translation", tokenizer: Any = None
) -> Path:
    """Write the items as tasks that ``lm_eval --include_path folder --tasks name`` runs.

    A document is an item in one of its contexts. Its choices are the context with the query line of the right source,
    and with that of each distractor. Its continuation is the target. This is lm-eval's multiple choice over inputs:
    the choice that makes the continuation most likely counts.

    Parameters
    ----------
    items : pyarrow.Table
        What `build_task` returns.
    folder : str or Path
        Made where it is absent. Files of the same names are replaced.
    name : str, default "pivotkit_translation"
        Name of the group. The task of a pair is ``name_fr-zh``.
    tokenizer : a Hugging Face tokenizer, optional
        Tokenizer of the model to score. Items whose source and target share a piece under it are left out
        (`excluded_items`), as in every summary of pivotkit. All items by default.

    Returns
    -------
    Path
        The group's file ``name.yaml``. Each pair has ``name_fr-zh.yaml`` and ``name_fr-zh.jsonl`` beside it. A line
        holds ``item, pair, context, sources, target, choices, gold, continuation``; ``context`` is a number.

    Raises
    ------
    TypeError
        ``items`` is no table.
    ValueError
        A column is missing, there are no items, an item has no distractors or contexts, or a name is no file name.

    Notes
    -----
    ``acc`` is the share of documents whose right source makes the target more likely than any distractor does. Every
    choice has the same target, so its length needs no correction. lm-eval's ``acc_norm`` would divide by the length of
    the choices, which are prompts here; the tasks leave it out. The contrastive score averages probabilities over
    contexts, and lm-eval has no metric for that; ``--log_samples`` keeps its log-likelihoods. Of several accepted
    targets the first counts. The right source takes every place in turn: lm-eval gives ties to the first choice, so
    they count as chance.

    Log-likelihoods equal pivotkit's where lm-eval puts the same special tokens before a prompt: versions up to 0.4.9
    add none unless ``--model_args`` says ``add_bos_token=True``; the prompts of a chat hold theirs as text. lm-eval
    resolves relative paths from its working folder, so the tasks name their documents by absolute path: export again
    instead of moving the folder. For lm-eval 0.4.0 and later.
    Source: arXiv 2505.16385, section 3.
    """
    require_columns("export_lm_eval", "items", items, COLUMNS)
    if tokenizer is not None:
        items = items.filter(pa.array(~excluded_items(items, tokenizer)))
    if not items.num_rows:
        raise ValueError("export_lm_eval: items must be at least one that is not excluded; got none")
    prompt, ask = task_prompt(items), questions(items)
    folder = Path(folder).absolute()
    tasks = {pair: f"{name}_{pair}" for pair in items["pair"].unique().to_pylist()}
    for task in tasks.values():
        if not re.fullmatch(r"[\w.-]+", task):
            raise ValueError(f"export_lm_eval: name must give task names of letters, digits, . _ and -; got {task!r}")
    require_candidates("export_lm_eval", items)
    rows = items.to_pylist()
    for pair, task in tasks.items():
        documents = folder / f"{task}.jsonl"
        with atomic_path(documents) as temporary, temporary.open("wb") as file:
            for row in rows:
                if row["pair"] == pair:
                    for document in _documents(row, prompt, ask):
                        file.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
        _write_yaml(_task(task, documents), folder / f"{task}.yaml")
    return _write_yaml(_group(name, list(tasks.values())), folder / f"{name}.yaml")


def _documents(
    row: dict[str, Any], prompt: Prompt, ask: Callable[[Mapping[str, Any], str], str]
) -> Iterator[dict[str, Any]]:
    """Yield one document per context of an item."""
    for number, context in enumerate(row["contexts"]):
        sources = list(row["distractors"])
        gold = (row["item"] + number) % (len(sources) + 1)
        sources.insert(gold, row["source"])
        yield {
            "item": row["item"],
            "pair": row["pair"],
            "context": number,
            "sources": sources,
            "target": row["target"],
            "choices": [context + ask(row, source) for source in sources],
            "gold": gold,
            "continuation": prompt.reply(row["target"]),
        }


def _task(task: str, documents: Path) -> dict[str, Any]:
    """Return a task. A number in ``doc_to_text`` tells lm-eval that the choices are inputs, as in its winogrande."""
    return {
        "task": task,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(documents)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "gold",
        "doc_to_choice": "choices",
        "doc_to_target": "continuation",
        "target_delimiter": "",  # the continuation has its own space
        "num_fewshot": 0,  # the contexts hold the shots
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }


def _group(name: str, tasks: list[str]) -> dict[str, Any]:
    return {
        "group": name,
        "task": tasks,
        "aggregate_metric_list": [{"metric": "acc", "aggregation": "mean", "weight_by_size": True}],
        "metadata": {"version": 1.0},
    }


def _write_yaml(value: dict[str, Any], path: Path) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path
