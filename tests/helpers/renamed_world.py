"""A planted world of the testbed whose languages have codes that are known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import zstandard

from pivotkit.testbed import World, build_tokenizer, plant


def write_renamed(world: World, codes: Mapping[str, str], folder: Path) -> None:
    """Write ``model/``, ``words.tsv`` and ``corpus.jsonl``, with ``codes`` for the world's own."""
    world.write(folder / "world")
    plant(world).save_pretrained(folder / "model")
    build_tokenizer(world.vocabulary).save_pretrained(folder / "model")
    header, *rows = (folder / "world" / "lexicon.tsv").read_text().splitlines()
    columns = [codes[cell.partition("=")[0]] + "=" + cell.partition("=")[2] for cell in header.split("\t")]
    (folder / "words.tsv").write_text("\n".join(["\t".join(columns), *rows]))
    raw = zstandard.ZstdDecompressor().stream_reader((folder / "world" / "corpus.jsonl.zst").read_bytes()).read()
    documents = [json.loads(line) for line in raw.splitlines()]
    lines = [json.dumps({**document, "lang": codes[document["lang"]]}) for document in documents]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
