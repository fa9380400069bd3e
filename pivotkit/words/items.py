"""Items of one's own: a table of prompts, source words and targets as the table that every function takes."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.arguments import check_int, check_kind, check_path, check_strings, refuse_kind
from pivotkit.artifacts import read_table, table_metadata, with_metadata
from pivotkit.errors import InputError
from pivotkit.words.chosen_concepts import FREQUENT, chosen_concepts
from pivotkit.words.delimited import delimited_rows
from pivotkit.words.item_rows import NEEDED, Row, own_item
from pivotkit.words.languages import LANGUAGES, parse_pair
from pivotkit.words.prompts import Prompt
from pivotkit.words.questions import AFTER
from pivotkit.words.task import ITEMS

IN_MEMORY = "read_items: table"  # stands for the path of a table that is no file
CONCEPTS = "concepts"  # of the metadata: there where the table named the concepts of its items


def read_items(
    table: str | Path | pa.Table,
    *,
    pairs: Sequence[str] | None = None,
    languages: Mapping[str, str] | None = None,
    distractors: int = 9,
    limit: int | None = None,
    special_tokens: bool = True,
    seed: int = 0,
) -> pa.Table:
    """Read items of one's own: whole prompts, each with its source word and its target.

    Parameters
    ----------
    table : str, Path or pyarrow.Table
        A Parquet file, or UTF-8 text with tabs between cells (commas where the name ends in ``.csv``) and a header, or
        a table in memory. Its columns, one row per item:

        - ``prompt``, the text up to where the answer begins;
        - ``source``, a word of the prompt; where it occurs more than once, its last occurrence is the one that is
          asked for, whole words first;
        - ``target``, the answer; ``a|b`` accepts several, of which the first is shown. Or ``targets``, a list;
        - ``pair``, such as ``fr-de``, unless ``pairs`` names one for all;
        - optionally ``item``, a number (by default that of the row, from 0); ``concept`` (the source word); and
          ``distractors``, wrong source words as a list or ``a|b|c``;
        - columns named by language codes (or one map ``words``): the concept's word in further languages, which a trace
          can follow. Any other column of text or numbers is kept among the ``attributes``.

        A table that `build_task` or this function made is taken as it is.
    pairs : sequence of str, optional
        The pairs to take; by default all. Where the table has no column ``pair``, the one pair of all its items.
    languages : mapping of code to name, optional
        Codes beside those that pivotkit knows.
    distractors : int, default 9
        Where the table has none: as many source words of other items of the pair are drawn, which share neither
        source, concept nor accepted target with the item. 0: none, for traces alone; `score` needs some.
    limit : int, optional
        Where the table has a column ``concept``: the most concepts, the first in the table's order that all pairs have,
        with all their items (`chosen_concepts`). Else the most items of each pair, its first rows. By default all;
        nothing is drawn at random.
    special_tokens : bool, default True
        Whether the tokenizer adds its own special tokens; False where the prompts hold them as text, as a chat does.
    seed : int, default 0

    Returns
    -------
    pyarrow.Table
        The columns of `build_task`, and ``after``, what follows the source word in the prompt. An item has one context:
        what stands before its source word. ``line`` is the row's line in the file, or its number in a Parquet file,
        from 1. The answer is a space and the target, or the target alone where all prompts end in a blank. Where the
        table names concepts, ``concepts`` in the metadata says as in `build_task` how many a limit left.

    Raises
    ------
    TypeError
        An argument is of another kind.
    InputError
        Names file and row. A column is absent or of another kind; an item, or a prompt with its target, is there twice;
        a prompt is empty, or does not hold its source; a target is the source, so that nothing tells it apart; a pair
        is unknown; some prompts end in a blank and others do not; or a pair has too few other sources for the
        distractors.
    ValueError
        An argument is out of range, a pair of ``pairs`` has no item, or there is a limit and named concepts, and no
        concept is in all pairs.

    Examples
    --------
    >>> prompts = ["chat means", "chien means"]
    >>> table = pa.table({"prompt": prompts, "source": ["chat", "chien"], "target": ["cat", "dog"]})
    >>> items = read_items(table, pairs=["fr-en"], distractors=1)
    >>> items["item"].to_pylist(), items["distractors"].to_pylist(), items["after"].to_pylist()
    ([0, 1], [['chien'], ['chat']], [' means', ' means'])
    """
    if not isinstance(table, pa.Table):
        if not isinstance(table, str | Path):
            refuse_kind("read_items", "table", "be a path (str or Path) or a pyarrow.Table", table)
        check_path("read_items", "table", table)
    asked = None if pairs is None else check_strings("read_items", "pairs", pairs)
    check_kind("read_items", "languages", languages, Mapping, "a mapping of code to name", none=True)
    for code, name in (languages or {}).items():
        if not isinstance(code, str) or not isinstance(name, str):
            refuse_kind("read_items", "languages", "map str to str", name if isinstance(code, str) else code)
    check_int("read_items", "distractors", distractors, 0)
    check_int("read_items", "limit", limit, 1, none=True)
    check_kind("read_items", "special_tokens", special_tokens, bool | np.bool_, "True or False")
    check_int("read_items", "seed", seed, 0)
    if asked is not None and (not asked or len(set(asked)) != len(asked)):
        raise ValueError(f"read_items: pairs must be different pairs, at least one; got {asked}")
    path = IN_MEMORY if isinstance(table, pa.Table) else str(table)
    made = _parquet(table)
    if made is not None and "prompt" in table_metadata(made):
        items = _as_made(path, made)
        return _chosen(items, asked, limit, AFTER not in items.column_names or CONCEPTS in table_metadata(items))
    names = {**LANGUAGES, **(languages or {})}
    cells = list(_rows(Path(path), made))
    named = any("concept" in row for _, row in cells)
    rows = [own_item(path, place, number, row, asked, names) for number, (place, row) in enumerate(cells)]
    if not rows:
        raise InputError(path, "", "must hold at least one item; got none")
    _require_pairs(asked, {row["pair"] for row in rows})
    rows = [row for row in rows if asked is None or row["pair"] in asked]
    _check_together(path, rows)
    codes = {code for row in rows for code in (*parse_pair(row["pair"], names), *dict(row["words"]))}
    blank = rows[0]["prompt"][-1].isspace()
    prompt = Prompt("", "{source}{target}", "{source}", "{target}" if blank else " {target}", bool(special_tokens))
    metadata = {
        "prompt": prompt.as_dict(),
        "languages": {code: names[code] for code in names if code in codes},
        "lexicon": "items" if path == IN_MEMORY else path,
        "settings": {"limit": limit, "contexts": 1, "distractors": distractors, "sharing": "item", "seed": seed},
    }
    schema = ITEMS.append(pa.field(AFTER, pa.string()))
    _draw_distractors(path, rows, distractors, seed)
    whole = with_metadata(pa.Table.from_pylist(rows, schema=schema), metadata)
    return _chosen(whole, asked, limit, named)


def _parquet(table: str | Path | pa.Table) -> pa.Table | None:
    """The table itself, or a Parquet file's; None for a file of text."""
    if isinstance(table, pa.Table):
        return table
    with Path(table).open("rb") as file:
        return read_table(table) if file.read(4) == b"PAR1" else None


def _as_made(path: str, table: pa.Table) -> pa.Table:
    """A table that pivotkit made, which must be whole."""
    missing = [name for name in ITEMS.names if name not in table.column_names]
    if missing:
        raise InputError(path, "", f"must have the columns of build_task; got none named {', '.join(missing)}")
    if not table.num_rows:
        raise InputError(path, "", "must hold at least one item; got none")
    return table


def _chosen(items: pa.Table, pairs: Sequence[str] | None, limit: int | None, named: bool) -> pa.Table:
    """The items of some pairs: of ``limit`` concepts where the table names them, else the first of each pair."""
    of_pair: dict[str, list[int]] = defaultdict(list)
    for at, pair in enumerate(items["pair"].to_pylist()):
        of_pair[pair].append(at)
    _require_pairs(pairs, of_pair)
    of_pair = {pair: of_pair[pair] for pair in pairs or of_pair}
    if not named:
        return items.take(pa.array(sorted(at for places in of_pair.values() for at in places[:limit]), pa.int64()))
    order: dict[str, int] = {}
    concept = [order.setdefault(name, len(order)) for name in items["concept"].to_pylist()]
    having = {pair: sorted({concept[at] for at in places}) for pair, places in of_pair.items()}
    chosen = chosen_concepts(having, limit, FREQUENT, function="read_items")
    wanted = {pair: set(concepts) for pair, concepts in chosen.items()}
    kept = [at for pair, places in of_pair.items() for at in places if concept[at] in wanted[pair]]
    counts = {"chosen": len(next(iter(chosen.values()))), "shared": len(set.intersection(*map(set, having.values())))}
    return with_metadata(items.take(pa.array(sorted(kept), pa.int64())), table_metadata(items) | {CONCEPTS: counts})


def _require_pairs(asked: Sequence[str] | None, there: Collection[str]) -> None:
    for pair in asked or ():
        if pair not in there:
            raise ValueError(f"read_items: pairs must be among {', '.join(sorted(there))}; got {pair!r}")


def _rows(path: Path, table: pa.Table | None) -> Iterator[tuple[str, Row]]:
    """The filled cells of every row by column, each row with its place; a file of text is read here."""
    if table is None:
        records = delimited_rows(path)
        number, header = next(records, (1, []))
        _check_columns(str(path), f"line {number}", header)
        for number, cells in records:
            if len(cells) != len(header):
                problem = f"must have {len(header)} cells as the header; got {len(cells)}"
                raise InputError(path, f"line {number}", problem)
            yield f"line {number}", {name: cell for name, cell in zip(header, cells, strict=True) if cell}
        return
    _check_columns(str(path), "", table.column_names)
    for number, row in enumerate(table.to_pylist(), 1):
        yield f"row {number}", {name: value for name, value in row.items() if value not in (None, "", [])}


def _check_columns(path: str, place: str, columns: Sequence[str]) -> None:
    missing = [name for name in NEEDED if name not in columns and not (name == "target" and "targets" in columns)]
    if missing:
        told = ", ".join(missing)
        raise InputError(path, place, f"must have the columns {', '.join(NEEDED)}; got none named {told}")
    twice = [name for name in columns if columns.count(name) > 1]  # type: ignore[attr-defined]
    if twice:
        raise InputError(path, place, f"must name each column once; got {twice[0]!r} twice")


def _check_together(path: str, rows: Sequence[Row]) -> None:
    """Refuse items that are there twice, and prompts of which some end in a blank and others do not."""
    seen: dict[Any, str] = {}
    for row in rows:
        prompted = "a prompt with its target", row["pair"], row["prompt"], row["target"]
        for told, *key in ((f"item {row['item']}",), prompted):
            first = seen.setdefault((told, *key), row["place"])
            if first != row["place"]:
                raise InputError(path, row["place"], f"{told} must be there once; {first} has it too")
        if row["prompt"][-1].isspace() != rows[0]["prompt"][-1].isspace():
            raise InputError(
                path, row["place"], f"prompts must all end in a blank, or none; {rows[0]['place']} differs"
            )
        if (row["distractors"] is None) != (rows[0]["distractors"] is None):
            place = row["place"] if row["distractors"] is None else rows[0]["place"]
            raise InputError(path, place, "column distractors must hold words in every row, or be absent; got none")


def _draw_distractors(path: str, rows: Sequence[Row], count: int, seed: int) -> None:
    """Fill in distractors where the table has none: sources of other items of the pair."""
    if rows[0]["distractors"] is not None:
        return
    of_pair: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_pair[row["pair"]].append(row)
    for row in rows:
        own = of_pair[row["pair"]]
        draw = _generator(seed, row["pair"], "distractors", row["item"])
        eligible = (
            other["source"] for other in (own[at] for at in _order(draw, len(own), count))
            if other["concept"] != row["concept"] and set(other["targets"]).isdisjoint(row["targets"])
        )  # fmt: skip
        found: dict[str, None] = {}
        while len(found) < count:
            source = next(eligible, None)
            if source is None:
                problem = (
                    f"pair {row['pair']} must have {count} other sources for distractors of item {row['item']}, or a "
                    f"column distractors; got {len(found)}"
                )
                raise InputError(path, "", problem)
            if source != row["source"]:
                found[source] = None
        row["distractors"] = list(found)


def _order(draw: np.random.Generator, size: int, count: int) -> Iterator[int]:
    """Places in drawn order: a few first, which mostly do, and then all, since to draw all for each item takes long."""
    yield from draw.choice(size, min(size, 8 * count + 8), replace=False).tolist()
    yield from draw.permutation(size).tolist()


def _generator(seed: int, *key: object) -> np.random.Generator:
    """A generator for each use, so that no draw depends on earlier draws."""
    return np.random.default_rng([seed, zlib.crc32("\t".join(map(str, key)).encode())])
