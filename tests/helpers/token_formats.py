"""Token files as OLMo, Megatron-LM and datatrove write them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pyarrow as pa

from pivotkit.artifacts import write_json, write_table
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.store import TokenStore, unit_path


def write_olmo(path: Path, texts: list[list[int]], dtype: str = "<u2") -> Path:
    np.array([token for text in texts for token in text], dtype).tofile(path)
    return path


def write_megatron(path: Path, texts: list[list[list[int]]], code: int = 8, dtype: str = "<u2") -> Path:
    """``texts`` are documents of sequences of ids."""
    sequences = [sequence for text in texts for sequence in text]
    np.array([token for sequence in sequences for token in sequence], dtype).tofile(path)
    lengths = np.array([len(sequence) for sequence in sequences], "<i4")
    pointers = (np.cumsum(lengths) - lengths) * np.dtype(dtype).itemsize
    bounds = np.cumsum([0, *map(len, texts)])
    path.with_suffix(".idx").write_bytes(
        b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, len(sequences), len(bounds))
        + lengths.tobytes() + pointers.astype("<i8").tobytes() + bounds.astype("<i8").tobytes()
    )  # fmt: skip
    return path


def write_datatrove(path: Path, texts: list[list[int]]) -> Path:
    write_olmo(path, texts)
    np.cumsum([len(text) for text in texts]).astype("<u8").tofile(path.with_name(path.name + ".index"))
    return path


def made_store(folder: Path, *units: list[list[int]], vocab_size: int) -> TokenStore:
    """A token store of documents given as ids, one unit per list, in the files that `tokenize` would write."""
    listed = []
    for number, texts in enumerate(units):
        source = folder / f"u{number}.jsonl"
        source.write_text("")
        unit = Unit.of(source)
        (folder / "store" / "units").mkdir(parents=True, exist_ok=True)
        write_olmo(unit_path(folder / "store", unit, ".u32"), texts, "<u4")
        np.save(unit_path(folder / "store", unit, ".offsets.npy"), np.cumsum([0, *map(len, texts)]))
        columns = {
            "row": pa.array(range(len(texts)), pa.int64()),
            "id": pa.array([f"u{number}:{row}" for row in range(len(texts))], pa.string()),
            "lang": pa.array(["und"] * len(texts), pa.string()),
        }
        write_table(pa.table(columns), unit_path(folder / "store", unit, ".parquet"))
        listed.append({"path": str(unit.path), "size": unit.size, "modified": unit.modified})
    header = {"format": 1, "fingerprint": "made up", "vocab_size": vocab_size, "on_error": "raise"}
    write_json(header, folder / "store" / "tokenizer.json")
    write_json({"units": listed}, folder / "store" / "store.json")
    return TokenStore.open(folder / "store")
