"""The order in which documents are taken: by merit, then by a hash of id and seed, then by unit and row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit import _C
from pivotkit.selection.choosing.groups import Column, Quotas, plain_text
from pivotkit.selection.choosing.rules import PAIR, Rule, softened

Keys: TypeAlias = NDArray[np.uint64]
SIGN = np.uint64(1 << 63)


@dataclass(frozen=True)
class Ranking:
    """What ranks documents, and the quotas they belong to.

    Attributes
    ----------
    rule : Rule
        What gives each document its merit; it is ranked high before low.
    quotas : Quotas or None
        None for one pool of all documents.
    seed : int
    temperature : float
        Of the noise that is added to the logarithm of the merit; 0 for none.
    cap_by : Column or None
        What tells the sources that have a cap.
    files : mapping of str to str
        The name of each unit's file, for documents without ``id``.
    """

    rule: Rule
    quotas: Quotas | None
    seed: int
    temperature: float
    cap_by: Column | None
    files: Mapping[str, str]

    @property
    def key_columns(self) -> list[str]:
        """The columns that keys, quotas and groups are made of."""
        names = ["tokens", *(self.quotas.columns if self.quotas is not None else []), *self.rule.columns]
        names += [self.cap_by.name] if self.cap_by is not None else []
        names += [PAIR] if self.rule.by_pair else []
        names += ["unit", "row", "id"] if self.temperature else []
        return list(dict.fromkeys(names))

    @property
    def columns(self) -> list[str]:
        """The columns that a ranking is made of."""
        return list(dict.fromkeys(["unit", "row", "id", *self.key_columns]))

    @property
    def all_equal(self) -> bool:
        """Whether hashes alone order the documents."""
        return self.rule.name == "random"

    def quota(self, batch: pa.RecordBatch) -> NDArray[np.int32]:
        """The quota of each document; -1 where it has none."""
        return np.zeros(len(batch), np.int32) if self.quotas is None else self.quotas.places(batch)

    def keys(self, batch: pa.RecordBatch, hashes: Keys | None) -> Keys:
        """`rank_keys` of the merit of each document; ``hashes`` are needed where there is a temperature."""
        values = self.rule.values(batch)
        return rank_keys(values if hashes is None else softened(values, self.temperature, hashes))

    def hashes(self, batch: pa.RecordBatch) -> Keys:
        """The hash of each document: of its id, or where it has none, of ``<file name>:<row>``."""
        ids = plain_text(batch["id"])
        if ids.null_count:
            units, rows = plain_text(batch["unit"]).dictionary_encode(), batch["row"].cast(pa.string())
            names = pa.array([self.files.get(unit, unit) for unit in units.dictionary.to_pylist()], pa.string())
            ids = pc.coalesce(pc.binary_join_element_wise(names.take(units.indices), rows, ":"), "")
        return text_hashes(ids, self.seed)


def seed_of(name: str, seed: int) -> int:
    """A seed for each of several choices from the same documents, so that their hashes do not agree.

    >>> seed_of("random", 0) != seed_of("bilingual", 0)
    True
    """
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=4).digest(), "little")


def rank_keys(values: NDArray[np.float64]) -> Keys:
    """Integers in the order of the values, the highest value first; equal for equal values.

    >>> keys = rank_keys(np.array([np.inf, 2.0, 0.0, -0.0, -1.5, -np.inf]))
    >>> bool((keys[:-1] <= keys[1:]).all()), bool(keys[2] == keys[3])
    (True, True)
    """
    bits = (values + 0.0).view(np.uint64)  # the sum makes -0.0 a 0.0
    return np.where(bits & SIGN, bits, ~(bits | SIGN))


def text_hashes(texts: pa.Array, seed: int) -> Keys:
    """64 bits of each text and the seed, the same on every machine. No text is null.

    >>> [hex(number) for number in text_hashes(pa.array(["a", "", "a document"]), 0).tolist()]
    ['0x4c9f976f2f0d4015', '0x33fe8bd4f9c57863', '0xb62e0d8a258c980f']
    """
    wide = texts.cast(pa.large_string())
    _, ends, buffer = wide.buffers()
    if not len(wide):
        return np.zeros(0, np.uint64)
    offsets = np.frombuffer(ends, np.int64)[wide.offset : wide.offset + len(wide) + 1]
    data = np.zeros(0, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8)
    return _C.text_hashes(data[offsets[0] : offsets[-1]], offsets - offsets[0], seed)
