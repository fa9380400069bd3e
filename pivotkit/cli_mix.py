"""`pivotkit mix`: its arguments, and how a plan of what would be written is shown."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pivotkit.cli_options import COLLECTIONS, Parser

SHOWN = 20  # entries of one kind in a plan for a reader
FORMATS = {".npy": "olmo", ".bin": "megatron", ".ds": "datatrove"}


def add_mix_options(parser: Parser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "--part", action="append", required=True, metavar="NAME=PATH",
        help="a part by name, once each: what `pivotkit select` or `mix` wrote, a token store, token files, or text",
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=COLLECTIONS["dict[str, str]"], required=True, metavar="NAME=NUMBER,...",
        help="share of each part",
    )  # fmt: skip
    parser.add_argument("--budget-tokens", type=int, required=True, metavar="N", help="tokens to write")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder for the files")
    parser.add_argument("--format", choices=tuple(FORMATS.values()), default="olmo", help="of the files (olmo)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the order (0)")
    parser.add_argument("--max-epochs", type=int, default=1, metavar="N", help="how often a part may come (1)")
    parser.add_argument("--instance-tokens", type=int, metavar="N", help="take turns by training instances of N ids")
    parser.add_argument("--shard-tokens", type=int, default=1 << 28, metavar="N", help="ids of a file (2^28)")
    parser.add_argument("--model", help="folder, name in the model cache, or hub id: its tokenizer, for parts of text")
    parser.add_argument("--eos", type=int, metavar="ID", help="id that ends a document; by default, that of the parts")
    parser.add_argument("--bos", type=int, metavar="ID", help="of token files: id that must follow eos at an end")
    parser.add_argument("--vocab-size", type=int, metavar="N", help="of token files: every id is below it")
    parser.add_argument("--dtype", choices=("uint16", "uint32"), default="uint16", help="of token files (uint16)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, and write nothing")


def run_mix(parsed: argparse.Namespace) -> dict[str, Any]:
    """Mix, and return what is short enough for a summary."""
    from pivotkit.lens.model.loading import load_tokenizer
    from pivotkit.selection.mixing.mix import mix

    tokenizer = None if parsed.model is None else load_tokenizer(parsed.model)
    parts: dict[str, Any] = {}
    for one in parsed.part:
        name, equals, path = one.partition("=")
        if not equals or name in parts:
            raise ValueError(f"mix: --part must be NAME=PATH, each name once; got {one!r}")
        parts[name] = _part(path, parsed)
    found = mix(
        parts, _weights(parsed.weights), parsed.budget_tokens, parsed.out, format=parsed.format, tokenizer=tokenizer,
        eos=parsed.eos, seed=parsed.seed, max_epochs=parsed.max_epochs, instance_tokens=parsed.instance_tokens,
        shard_tokens=parsed.shard_tokens, dry_run=parsed.dry_run,
    )  # fmt: skip
    if parsed.dry_run:
        return found if parsed.json else readable(found)
    told = {name: found["selected"][name] for name in ("documents", "tokens", "bytes")}
    summary = {"out": parsed.out, "format": found["format"], **told, "parts": found["parts"]}
    return summary if parsed.json else readable(summary)


def readable(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A plan or summary with a line for each entry of a mapping, at most `SHOWN` of a kind."""
    lines: dict[str, Any] = {}
    for name, value in plan.items():
        if not isinstance(value, Mapping):
            lines[name] = f"{value:,}" if isinstance(value, int) else value
            continue
        for key, entry in list(value.items())[:SHOWN]:
            lines[f"{name} {key}"] = ", ".join(f"{_number(number)} {what}" for what, number in entry.items())
        if len(value) > SHOWN:
            lines[f"{name}, others"] = f"{len(value) - SHOWN:,} (--json names them)"
    return lines


def _part(path: str, parsed: argparse.Namespace) -> Any:
    from pivotkit.corpus.reading.token_files import TokenFiles
    from pivotkit.corpus.token_store.store import TokenStore

    folder = Path(path)
    if (folder / "manifest.json").is_file():
        return folder
    if (folder / "store.json").is_file():
        return TokenStore.open(folder)
    suffixes = {file.suffix for file in folder.rglob("*")} if folder.is_dir() else {folder.suffix}
    format = next((format for suffix, format in FORMATS.items() if suffix in suffixes), None)
    if format is None:
        return path
    if parsed.vocab_size is None:
        raise ValueError(f"mix: --vocab-size must be given for token files; got none for {path}")
    is_olmo = format == "olmo"
    return TokenFiles(
        path, parsed.vocab_size, format, parsed.dtype, parsed.eos if is_olmo else None, parsed.bos if is_olmo else None
    )


def _weights(given: Mapping[str, str]) -> dict[str, float]:
    weights = {}
    for name, text in given.items():
        try:
            weights[name] = float(text)
        except ValueError:
            raise ValueError(f"mix: --weights must be NAME=NUMBER; got {name}={text}") from None
    return weights


def _number(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
