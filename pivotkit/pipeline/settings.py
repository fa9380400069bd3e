"""Every setting of a run, once. The stages say which of them they read; the command line and the manifest follow."""
# ruff: noqa: RUF009 (option is dataclasses.field with a help text)

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any

from pivotkit.arguments import (
    check_flag,
    check_int,
    check_kind,
    check_number,
    check_strings,
    check_text,
    elements,
    refuse,
)


def option(default: Any, text: str, *, result: bool = True, paths: bool = False, **more: Any) -> Any:
    """A setting with its default and its help text.

    ``result`` says whether artifacts depend on it; ``paths``, whether it lists files. ``choices``, or ``least`` and
    ``most``, restrict it; ``size``, to a number of bytes; ``device``, to a device of this machine. ``flag`` is its flag
    where that has another name. A setting is not given together with the one that it is ``instead_of``, and may say
    something ``of`` another one: a new value of either ends what a run keeps of it (`kept`).
    """
    kind = {"default_factory": lambda: default} if isinstance(default, (list, dict)) else {"default": default}
    return field(**kind, metadata={"help": text, "result": result, "paths": paths, **more})


@dataclass(repr=False)
class Settings:
    """The settings of a run. `pivotkit run --help` explains each field."""

    model: str | None = option(None, "folder, GGUF file, name in the model cache, or hub id")
    dtype: str = option("float32", "number format of the model", choices=("float32", "bfloat16", "float16"))
    device: str | None = option(
        None, "device on which the model runs, such as cuda or cuda:1; the CPU by default", result=False, device=True
    )
    lexicon: str | None = option(None, "tab-separated words: one row per concept, one column per language")
    items: str | None = option(
        None, "items of one's own in place of a lexicon: Parquet or tab-separated, with prompt, source, target, pair",
        instead_of="lexicon",
    )  # fmt: skip
    pairs: list[str] = option([], "language pairs, source first: fr-zh en-fr")
    limit: int | None = option(
        None, "at most this many concepts, the same in every pair; of items without concepts, rows per pair", least=1
    )
    limit_by: str = option(
        "frequent", "which concepts --limit leaves, by the lexicon's rows, which go from frequent to rare: the first, "
        "or one of each class of frequency", choices=("frequent", "stratified"), of="limit",
    )  # fmt: skip
    shots: int = option(5, "translations shown in each context", least=0)
    contexts: int = option(5, "contexts per item", least=1)
    distractors: int = option(9, "wrong source words per item; 0 for items of one's own that are only traced", least=0)
    sharing: str = option("item", "contexts are drawn once per item or once per pair", choices=("item", "pair"))
    prompt: str = option("paper", "wording of the prompt", choices=("paper", "testbed"))
    template: str | None = option(
        None, "wording of one's own: 'Translate.\\n{shots}{source} = {target}\\n', where \\n is a line break",
        instead_of="prompt",
    )  # fmt: skip
    chat: bool = option(False, "write prompts as conversations, in the chat template of the model's tokenizer")
    chat_variables: dict[str, str] = option({}, "variables of the chat template: enable_thinking=false")
    seed: int = option(0, "seed of every random draw", least=0)
    corpus: list[str] = option(
        [], "files, folders or globs: JSONL or plain text (.gz, .zst too), Parquet, Arrow", paths=True
    )
    token_files: list[str] = option(
        [], "token files, folders or globs, which `count` and `token-graph` read instead of the corpus",
        paths=True, flag="--tokens", instead_of="corpus",
    )  # fmt: skip
    token_format: str = option(
        "olmo", "format of the token files; store: one folder that `pivotkit tokens` wrote", flag="--format",
        choices=("olmo", "megatron", "datatrove", "store"), of="token_files",
    )  # fmt: skip
    token_dtype: str = option(
        "uint16", "type of the ids in token files", choices=("uint16", "uint32"), of="token_files"
    )
    vocab_size: int | None = option(
        None,
        "every id in token files is below it; by default, that of the model's tokenizer",
        least=1,
        of="token_files",
    )
    eos: int | None = option(
        None, "id that ends a document of olmo files; by default, that of the model's tokenizer", least=0,
        of="token_files",
    )  # fmt: skip
    bos: int | None = option(
        None, "id that must follow eos where a document ends; by default, any", least=0, of="token_files"
    )
    on_error: str = option("raise", "what happens at a corrupt document", choices=("raise", "skip"))
    scope: str = option(
        "document", "what `together` means: document, line, sentence, window:100, or for tokens instance:2048"
    )
    context: bool = option(True, "count the tokens around each word; pivots are found among them")
    sample: int = option(0, "documents per word that its context is estimated from; 0: all of them", least=0)
    background: bool = option(True, "count the documents of every token")
    postings: bool = option(True, "keep which documents contain each word, for later questions")
    strata: str | None = option(
        None, "count by a document's languages, its length, or both; by default both for stratified pivots, else none",
        choices=("none", "language", "length", "both"),
    )  # fmt: skip
    languages: str | None = option(
        None, "folder of `pivotkit languages`, which tells documents' languages; their lang field by default"
    )
    length_classes: int = option(24, "most classes of length in the strata", least=2)
    unit: str = option("auto", "bytes of a work unit, such as 256MB; auto; or file: one unit per file")
    checkpoint: float = option(300.0, "seconds of work on tables that a kill may cost", result=False, least=0)
    memory: str = option("2GB", "memory budget of the counting tables", result=False, size=True)
    workers: int | None = option(None, "counting processes; one per core by default", result=False, least=1)
    latent: list[str] | None = option(
        None, "languages traced beside source and target; English by default where the lexicon has it"
    )
    k: int = option(10, "tokens kept per layer", least=1)
    positions: list[str] = option(
        ["answer"], "positions traced: answer, source, all", choices=("answer", "source", "all")
    )
    tracked: int = option(10, "tokens followed through all layers", least=1)
    chains: bool = option(False, "trace every token of the target, not only the first")
    token_policy: dict[str, str] = option(
        {}, "tokens that stand for a word: space=with,case=all,pieces=prefixes,bytes=drop; see TokenPolicy"
    )
    tuned_lens: str | None = option(
        None, "folder of a tuned or ridge lens, or file of a Jacobian lens, to set beside the raw logit lens"
    )
    min_probability: float = option(
        0.05,
        "least probability of a token that a layer holds for an item: strict rule, agreement, causal test",
        least=0,
        most=1,
    )
    least_contrast: float = option(math.log(100), "least contrast of such a token, in nats; log(100) by default")
    threshold: float = option(0.1, "least probability of a pivot under the threshold rule", least=0, most=1)
    least_peak: float = option(0.0, "least probability of an item's peak under the paper's rule", least=0, most=1)
    pivot_rule: str = option(
        "stratified", "what ranks pivots: against documents of the same languages and length, or against all documents",
        choices=("stratified", "npmi", "g2", "paper"),
    )  # fmt: skip
    pivot_measure: str | None = option(
        None, "measure of the stratified rule; lower_ratio by default", of="pivot_rule",
        choices=("lower_ratio", "log_ratio", "npmi", "deviance", "poisson", "delta"),
    )  # fmt: skip
    pivot_combine: str | None = option(
        None, "how two words' measures make a score; geometric for the stratified rule, else min", of="pivot_rule",
        choices=("geometric", "min"),
    )  # fmt: skip
    min_word_df: int | None = option(
        None, "least documents of a word that has pivots; 20 for the stratified rule, else 1", least=1
    )
    hub_penalty: float = option(
        0.0, "share of a token's mean measure with its 20 best words that its score loses", least=0, most=1
    )
    pivots: int = option(50, "pivots kept per item", least=1)
    min_pivot_score: float = option(0.0, "least score of a pivot", least=0)
    pivots_without: list[str] = option(
        [], "whose look-alikes are neither pivots nor controls: source, target, and languages for the concept's word"
    )
    hubs: int = option(1000, "hub pivots kept; documents are scored with them", least=1)
    rule: str = option(
        "score",
        "what ranks the documents; behavior: what each item asks for, which score-documents must be told too",
        choices=("score", "share", "distinct", "weighted", "pairs", "parallel", "random", "behavior"),
    )
    temperature: float = option(0.0, "noise added to the logarithm of what ranks documents; 0: none", least=0)
    budget_tokens: int | None = option(None, "tokens to select; a tenth of the corpus by default", least=1)
    quotas: dict[str, float] = option({}, "share of each language: fr=0.5,zh=0.5; equal shares by default")
    quota_by: str = option(
        "lang",
        "what quotas name: lang; languages, such as en+fr; length, such as 0-127; or a column of documents.parquet",
    )
    cap_by: str | None = option(
        None, "column of documents.parquet whose values have a cap each, such as file_name or folder"
    )
    cap: float | None = option(
        None, "most of each quota from one source: up to 1 as a share, above 1 as tokens of the whole budget", least=0,
        of="cap_by",
    )  # fmt: skip
    drop: str | None = option(None, "Parquet file or folder with the unit and row of documents that are never taken")
    exact: bool = option(False, "cut the last document of each quota so that the budget is met to the token")
    selection_format: str = option(
        "jsonl.zst", "how selected documents are written: as text, or with the model's tokenizer as ids",
        choices=("jsonl", "jsonl.zst", "parquet", "datasets", "dolma", "olmo", "megatron", "datatrove"),
    )  # fmt: skip
    allow_shortfall: bool = option(False, "take all of a quota that has too few tokens; refused by default")

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.given().items())
        return f"{type(self).__name__}({given})"

    def check(self, function: str) -> None:
        """Refuse a setting of another kind or out of range; the message names ``function`` and the option."""
        for option in fields(self):
            value, optional = getattr(self, option.name), str(option.type).endswith(" | None")
            if optional and value == "":  # an empty variable of a shell
                refuse(function, flag(option), "not be empty", value)
            if not (optional and value is None):
                _check(function, flag(option), str(option.type), value, option.metadata)

    def of(self, names: Iterable[str]) -> dict[str, Any]:
        """The settings among ``names`` that a result depends on."""
        return {
            option.name: value
            for option, value in zip(fields(self), asdict(self).values(), strict=True)
            if option.name in set(names) and option.metadata["result"]
        }

    def given(self) -> dict[str, Any]:
        """The settings that differ from their defaults."""
        plain = asdict(type(self)())
        return {name: value for name, value in asdict(self).items() if value != plain[name]}


def flag(option: Field[Any]) -> str:
    """The flag of a setting on the command line."""
    return str(option.metadata.get("flag") or "--" + option.name.replace("_", "-"))


def kept(config: Mapping[str, Any], given: Collection[str], known: Iterable[Field[Any]]) -> dict[str, Any]:
    """What stays of the settings of a run where those named in ``given`` are new, among them some ``known``.

    A setting goes with the one that it is instead of, or says something of (`option`), unless it is given too.
    """
    ended = set(given)
    for option in known:  # in the order of the form: a setting stands behind what it refers to
        if ended & {option.metadata.get("instead_of"), option.metadata.get("of")}:
            ended.add(option.name)
    return {name: value for name, value in config.items() if name not in ended}


def options(form: type[Settings], names: Iterable[str]) -> list[Field[Any]]:
    """The fields of ``form`` among ``names``, in the order of ``form``."""
    wanted = set(names)
    return [option for option in fields(form) if option.name in wanted]


def _check(function: str, flag: str, form: str, value: Any, metadata: Mapping[str, Any]) -> None:
    """Refuse a value that is not of the type ``form`` or not what ``metadata`` allow."""
    form, choices = form.removesuffix(" | None"), metadata.get("choices", ())
    least, most = metadata.get("least", 0), metadata.get("most", math.inf)
    if form == "bool":
        check_flag(function, flag, value)
    elif form == "int":
        check_int(function, flag, value, least)
    elif form == "float":
        check_number(function, flag, value, least, most)
    elif form == "str":
        check_text(function, flag, value, choices)
        if metadata.get("size"):
            from pivotkit.corpus.reading.budget import parse_bytes

            parse_bytes(value, function, flag)
        if metadata.get("device"):
            from pivotkit.lens.model.loading import check_device

            check_device(function, flag, value)
    elif form in ("list[int]", "list[float]"):
        numbers = elements(function, flag, value, "whole numbers" if form == "list[int]" else "numbers")
        if not numbers:
            raise ValueError(f"{function}: {flag} must be at least one; got none")
        for one in numbers:
            if form == "list[int]":
                check_int(function, flag, one, least)
            else:
                check_number(function, flag, one, least, most)
    elif form == "list[str]":
        for one in check_strings(function, flag, value):
            check_text(function, flag, one, choices)
    else:
        check_kind(function, flag, value, dict, "a mapping of names")
        for one in value.values():
            if form == "dict[str, float]":
                check_number(function, flag, one, 0, 1)
            else:
                check_text(function, flag, one)
