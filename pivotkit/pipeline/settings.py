"""Every setting of a run, once: the command line, the manifest and the stages read this list."""
# ruff: noqa: RUF009 (_option is dataclasses.field with the words of the help)

from __future__ import annotations

from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any


def _option(default: Any, stages: str, text: str, **more: Any) -> Any:
    """A setting with its default, the stages that read it and its help; lists are comma-separated on the command line."""
    kind = {"default_factory": lambda: default} if isinstance(default, (list, dict)) else {"default": default}
    return field(**kind, metadata={"stages": tuple(stages.split()), "help": text, **more})


@dataclass
class Settings:
    """What a run is told. Field by field: the help of ``pivotkit run --help``."""

    model: str | None = _option(None, "tokens pivots score trace", "folder, name in the model cache, or hub id")
    dtype: str = _option(
        "float32", "score trace", "float32, bfloat16 or float16", choices=("float32", "bfloat16", "float16")
    )
    lexicon: str | None = _option(None, "task", "tab-separated words: one row a concept, one column a language")
    pairs: list[str] = _option([], "task", "language pairs, source first: fr-zh,en-fr")
    limit: int | None = _option(None, "task", "at most this many items a pair")
    shots: int = _option(5, "task", "translations shown in a context")
    contexts: int = _option(5, "task", "contexts an item is scored in")
    distractors: int = _option(9, "task", "wrong source words an item")
    sharing: str = _option("item", "task", "draw contexts for each item or once a pair", choices=("item", "pair"))
    prompt: str = _option("paper", "task", "the prompt's wording", choices=("paper", "testbed"))
    seed: int = _option(0, "task pivots attribution select pretrain", "seed of every draw")
    corpus: list[str] = _option(
        [],
        "tokens count score-documents select",
        "files, folders or globs: JSONL or plain text (.gz, .zst too), Parquet, Arrow",
    )
    on_error: str = _option(
        "raise", "tokens count score-documents select", "what to do at a corrupt document", choices=("raise", "skip")
    )
    memory: str = _option("2GB", "count", "budget for the counting tables")
    workers: int | None = _option(None, "count", "processes that count; one a core by default")
    latent: list[str] | None = _option(
        None, "trace count", "languages tracked on the way; English by default where the lexicon has it"
    )
    k: int = _option(10, "trace", "tokens kept a layer")
    positions: list[str] = _option(["answer"], "trace", "positions traced: answer, source, all")
    tracked: int = _option(10, "trace", "tokens followed through all layers")
    chains: bool = _option(False, "trace", "trace every token of the target, not the first alone")
    token_policy: dict[str, str] = _option(
        {}, "trace", "tokens that stand for a word: space=with,case=all,pieces=prefixes,bytes=drop; see TokenPolicy"
    )
    tuned_lens: str | None = _option(None, "trace", "folder of a tuned lens; the raw logit lens by default")
    min_probability: float = _option(0.2, "behaviors", "least probability of a step under the strict rule")
    first_layer: int | None = _option(
        None, "behaviors", "first block the strict rule looks at; the middle one by default"
    )
    threshold: float = _option(0.1, "behaviors", "least probability of a pivot under the threshold rule")
    least_peak: float = _option(0.0, "behaviors", "least probability of an item's peak under the paper's rule")
    pivot_rule: str = _option("paper", "pivots", "association that ranks pivots", choices=("paper", "npmi", "g2"))
    pivots: int = _option(50, "pivots", "pivots kept an item")
    min_pivot_score: float = _option(0.0, "pivots", "least score of a pivot")
    hubs: int = _option(1000, "pivots", "hub pivots kept: the set that documents are scored with")
    strategy: str = _option("pivot", "select", "what documents are ranked by", choices=("pivot", "random", "parallel"))
    budget_tokens: int | None = _option(None, "select", "tokens to select; a tenth of the corpus by default")
    quotas: dict[str, float] = _option({}, "select", "share of each language: fr=0.5,zh=0.5; equal shares by default")

    def of(self, *stages: str) -> dict[str, Any]:
        """The settings that ``stages`` read."""
        chosen = {option.name for option in fields(self) if set(stages) & set(option.metadata["stages"])}
        return {name: value for name, value in asdict(self).items() if name in chosen}

    def given(self) -> dict[str, Any]:
        """The settings that differ from their defaults."""
        plain = asdict(Settings())
        return {name: value for name, value in asdict(self).items() if value != plain[name]}


def options(*stages: str) -> list[Field[Any]]:
    """The fields that ``stages`` read, in order; all when none is named."""
    return [option for option in fields(Settings) if not stages or set(stages) & set(option.metadata["stages"])]
