"""The Word-Level Cross-Lingual Translation Task: items, distractors and few-shot contexts from a lexicon."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pivotkit.arguments import check_int, check_kind, check_strings, check_text, refuse
from pivotkit.artifacts import require_columns, table_metadata, with_metadata
from pivotkit.errors import InputError
from pivotkit.words.chat import wording_of
from pivotkit.words.chosen_concepts import FREQUENT, LIMIT_BY, chosen_concepts
from pivotkit.words.languages import parse_pair
from pivotkit.words.lexicon import Lexicon
from pivotkit.words.prompts import PAPER, Prompt
from pivotkit.words.word_tokens import WordTokens

# Distractors are drawn from this many times more nearby concepts: near in frequency, but not always the same ones.
NEARBY = 4

CONTEXTS = 5  # as in the paper
MOST_CONTEXTS = 10_000
SHARED = "shared"


def build_task(
    lexicon: Lexicon,
    pairs: Sequence[str],
    *,
    limit: int | None = None,
    limit_by: str = FREQUENT,
    shots: int = 5,
    contexts: int | str = CONTEXTS,
    distractors: int = 9,
    sharing: str = "item",
    prompt: Prompt = PAPER,
    template: str | None = None,
    chat: bool | Mapping[str, Any] = False,
    tokenizer: Any = None,
    seed: int = 0,
) -> pa.Table:
    """Build the items of the translation task.

    Parameters
    ----------
    lexicon : Lexicon
    pairs : sequence of str
        Source and target codes, such as ``"fr-zh"``.
    limit : int, optional
        The most concepts: the same in every pair, of those that all pairs have. By default each pair has all of its
        own.
    limit_by : {"frequent", "stratified"}, default "frequent"
        Which concepts a limit leaves, by their place in the lexicon, whose rows go from frequent to rare: the first, or
        one of each of ``limit`` classes of equal size (`chosen_concepts`).
    shots : int, default 5
        Worked examples per context. No context of an item shows a concept that shares an accepted word, in any
        language, with the item or with one of its distractors.
    contexts : int or "shared", default 5
        Contexts per item. ``"shared"`` means ``sharing="pair"`` with 5 contexts.
    distractors : int, default 9
        Wrong source words per item. They come from rows of nearby frequency, and belong to concepts that share no
        accepted word with the item in any language. They have the item's part of speech; where too few concepts do,
        these are completed from the nearest others.
    sharing : {"item", "pair"}, default "item"
        ``"item"`` draws contexts for each item, as the paper does. ``"pair"`` draws them once per pair, so that a model
        reads them once; an item whose words occur in a shot gets another shot instead.
    prompt : Prompt, default PAPER
        The prompt format.
    template : str, optional
        One's own wording in place of ``prompt``, as one string (`parse_template`), such as ``"Translate from
        {source_language} to {target_language}.\\n\\n{shots}{source} = {target}\\n"``. Names of languages are those of
        the lexicon's header (``fr=Französisch``).
    chat : bool or mapping of str, default False
        Whether prompts are conversations, as the tokenizer's chat template writes them: each shot is a turn of the user
        and one of the assistant, and the instruction begins the first turn. The answer follows the last token of such a
        prompt. A mapping gives the template's own variables, such as ``{"enable_thinking": False}``.
    tokenizer : a Hugging Face tokenizer, optional
        The model's; for ``chat`` alone.
    seed : int, default 0
        Seeds every draw. What is drawn for an item does not depend on other pairs.

    Returns
    -------
    pyarrow.Table
        One row per item; columns ``item, pair, concept, line, source, target, targets, words, distractors, contexts,
        prompt, attributes``. ``targets`` are all accepted answers, ``target`` first. ``words`` maps each language to
        the concept's word, ``attributes`` the lexicon's other columns to what they say of the concept. ``line`` is the
        concept's line in the lexicon. The metadata holds the prompt format, the language names, the lexicon's path, the
        settings, and in ``concepts`` how many a limit left (``chosen``) of those in every pair (``shared``).

    Raises
    ------
    TypeError
        An argument is of another kind.
    ValueError
        A language is unknown, an argument is out of range, the lexicon has too few concepts for the pair's
        distractors and shots, or there is a limit and no concept is in all pairs. ``template`` lacks a field or has an
        unknown one, or nothing in it ends a shot. The tokenizer has no chat template, or one that refuses or changes
        such turns, or does not end a prompt where the answer begins.

    Notes
    -----
    Source: arXiv 2505.16385, section 3. The published code draws without a seed, allows the query in its own shots and
    keeps duplicate distractors.
    """
    check_kind("build_task", "lexicon", lexicon, Lexicon, "a Lexicon (read_lexicon reads one)")
    pairs = check_strings("build_task", "pairs", pairs)
    if isinstance(contexts, str):
        if contexts != SHARED:
            refuse("build_task", "contexts", f"be a number or {SHARED!r}", contexts)
        contexts, sharing = CONTEXTS, "pair"
    check_text("build_task", "sharing", sharing)
    if sharing not in ("item", "pair"):
        refuse("build_task", "sharing", "be 'item' or 'pair'", sharing)
    check_int("build_task", "shots", shots, 0)
    check_int("build_task", "contexts", contexts, 1, MOST_CONTEXTS)
    check_int("build_task", "distractors", distractors, 1)
    check_int("build_task", "limit", limit, 1, none=True)
    wording = wording_of(prompt, template, chat, tokenizer, shots)
    check_text("build_task", "limit_by", limit_by, LIMIT_BY)
    check_int("build_task", "seed", seed, 0)
    if not pairs or len(set(pairs)) != len(pairs):
        raise ValueError(f"build_task: pairs must be different pairs, at least one; got {list(pairs)}")
    rows: list[dict[str, Any]] = []
    known = [lexicon.concept_words(row) for row in range(len(lexicon.rows))]
    having = {pair: lexicon.having(*parse_pair(pair, lexicon.names)) for pair in pairs}
    chosen = chosen_concepts(having, limit, limit_by)
    for pair, concepts in having.items():
        source, target = parse_pair(pair, lexicon.names)
        need = 1 + distractors + shots
        if len(concepts) < need:
            raise ValueError(
                f"build_task: lexicon must have {need} concepts with words in {pair} "
                f"for {distractors} distractors and {shots} shots; got {len(concepts)}: "
                "add concepts, or ask for fewer distractors or shots"
            )
        languages = (lexicon.names[source], lexicon.names[target])
        for row in chosen[pair]:
            draw = _generator(seed, pair, "distractors", row)
            wrong = _distractors(lexicon, known, row, source, target, distractors, draw)
            taken = known[row].union(*(known[other] for other in wrong))
            texts = []
            for number in range(contexts):
                whose = (pair, "contexts", number) if sharing == "pair" else (pair, "contexts", number, row)
                order = _generator(seed, *whose).permutation(concepts).tolist()
                free = (lexicon.rows[other] for other in order if known[other].isdisjoint(taken))
                shown = list(itertools.islice(free, shots))
                if len(shown) < shots:
                    raise ValueError(f"build_task: lexicon must leave {shots} concepts for shots; got {len(shown)}")
                texts.append(wording.context(*languages, [(words[source], words[target]) for words in shown]))
            words = lexicon.rows[row]
            rows.append(
                {
                    "item": len(rows),
                    "pair": pair,
                    "concept": lexicon.concept(row),
                    "line": lexicon.line(row),
                    "source": words[source],
                    "target": words[target],
                    "targets": list(lexicon.accepted(row, target)),
                    "words": list(words.items()),
                    "distractors": [lexicon.rows[other][source] for other in wrong],
                    "contexts": texts,
                    "prompt": texts[0] + wording.ask(*languages, words[source]),
                    "attributes": list(lexicon.about(row).items()),
                }
            )
    metadata = {
        "prompt": wording.as_dict(),
        "languages": lexicon.names,
        "lexicon": lexicon.path,
        "concepts": {"chosen": len(chosen[pairs[0]]), "shared": len(set.intersection(*map(set, having.values())))},
        "settings": {"limit": limit, "limit_by": limit_by, "shots": shots, "contexts": contexts,
                     "distractors": distractors, "sharing": sharing, "seed": seed},
    }  # fmt: skip
    return with_metadata(pa.Table.from_pylist(rows, schema=ITEMS), metadata)


ITEMS = pa.schema(
    [("item", pa.int32()), ("pair", pa.string()), ("concept", pa.string()), ("line", pa.int32()),
     ("source", pa.string()), ("target", pa.string()), ("targets", pa.list_(pa.string())),
     ("words", pa.map_(pa.string(), pa.string())), ("distractors", pa.list_(pa.string())),
     ("contexts", pa.list_(pa.string())), ("prompt", pa.string()), ("attributes", pa.map_(pa.string(), pa.string()))]
)  # fmt: skip


def task_prompt(items: pa.Table) -> Prompt:
    """The prompt format that ``items`` were built with."""
    metadata = table_metadata(items)
    if "prompt" not in metadata:
        raise ValueError("task_prompt: items must carry their prompt format in the metadata; got a table without")
    return Prompt(**metadata["prompt"])


def task_languages(items: pa.Table, pair: str) -> tuple[str, str]:
    """The names of the source and target language of ``pair``, as in its prompts."""
    names = table_metadata(items)["languages"]
    source, target = parse_pair(pair, names)
    return names[source], names[target]


def accepted_targets(row: Mapping[str, Any]) -> list[str]:
    """Every accepted answer of an item, the shown one first; only the target if the table has no ``targets``."""
    return list(row.get("targets") or [row["target"]])


def require_candidates(function: str, items: pa.Table) -> None:
    """Refuse items without distractors or without contexts, because nothing contrasts with their source."""
    for name in ("distractors", "contexts"):
        counts = pc.fill_null(pc.list_value_length(items[name]), 0).to_numpy()
        if not counts.all():
            item = items["item"][int(counts.argmin())]
            raise ValueError(f"{function}: items must have distractors and contexts; got none in item {item}")


def require_tokens(items: pa.Table, tokenizer: Any, *, distractors: bool = False) -> None:
    """Refuse items with a word that the tokenizer has no token for.

    Parameters
    ----------
    items : pyarrow.Table
    tokenizer : a Hugging Face tokenizer
    distractors : bool, default False
        Whether to check distractors too, beside sources and targets.

    Raises
    ------
    InputError
        Names the lexicon, the item's line and the word.
    """
    sets = WordTokens(tokenizer)
    metadata = table_metadata(items)
    path = metadata.get("lexicon") or "lexicon"
    wanted = ("pair", "line", "source", "target", "targets", *(["distractors"] if distractors else []))
    for row in items.select([name for name in wanted if name in items.column_names]).to_pylist():
        source, target = parse_pair(row["pair"], metadata.get("languages"))
        sources = [row["source"], *row.get("distractors", ())]
        for code, word in [*((source, word) for word in sources), *((target, word) for word in accepted_targets(row))]:
            if not sets.pieces(word):
                problem = f"column {code} must hold a word that the model's tokenizer has a token for; got {word!r}"
                raise InputError(path, f"line {row['line']}", problem)


def excluded_items(items: pa.Table, tokenizer: Any) -> np.ndarray:
    """Find the items that the paper's rule excludes: their source and target share a piece (`WordTokens.overlap`).

    Parameters
    ----------
    items : pyarrow.Table
        With the columns ``source, target``.
    tokenizer : a Hugging Face tokenizer

    Returns
    -------
    (items,) bool array

    Notes
    -----
    A shared piece as a layer's first choice points to neither word, so such an item shows nothing. Scores, traces,
    behaviors and reports all use this rule, so they count the same items. Source: the code published with arXiv
    2505.16385.
    """
    require_columns("excluded_items", "items", items, ("source", "target"))
    sets = WordTokens(tokenizer)
    words = zip(items["source"].to_pylist(), items["target"].to_pylist(), strict=True)
    return np.array([sets.overlap(source, target) for source, target in words], dtype=bool)


def _distractors(
    lexicon: Lexicon, known: Sequence[frozenset[str]], row: int, source: str, target: str, count: int,
    draw: np.random.Generator,
) -> list[int]:  # fmt: skip
    """``count`` concepts near ``row`` that share none of its words, in seeded order; its part of speech comes first."""
    eligible = [other for other in lexicon.having(source, target) if known[row].isdisjoint(known[other])]
    if len(eligible) < count:
        raise ValueError(
            f"build_task: lexicon must have {count} distractors for {lexicon.concept(row)!r} in {source}-{target} "
            f"(no shared word); got {len(eligible)}"
        )
    nearest = sorted(eligible, key=lambda other: (abs(other - row), other))
    alike = [other for other in nearest if lexicon.pos[other] == lexicon.pos[row]]
    if len(alike) >= count:
        return [int(other) for other in draw.choice(alike[: NEARBY * count], size=count, replace=False)]
    others = [other for other in nearest if lexicon.pos[other] != lexicon.pos[row]][: NEARBY * count]
    chosen = [*alike, *draw.choice(others, size=count - len(alike), replace=False)]
    return [int(other) for other in draw.permutation(chosen)]


def _generator(seed: int, *key: object) -> np.random.Generator:
    """A separate random generator for each use, so that no draw depends on earlier draws."""
    return np.random.default_rng([seed, zlib.crc32("\t".join(map(str, key)).encode())])
