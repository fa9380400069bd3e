"""Work units in several processes: each unit's languages are told, and kept where there is a folder."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pivotkit.artifacts import value_digest
from pivotkit.corpus.languages.detector import HALF_BYTES, LEAD, RARE, detector_version
from pivotkit.corpus.languages.language_part import LanguagePart, part_path, read_header
from pivotkit.corpus.languages.segments import LONG_LINE
from pivotkit.corpus.languages.unit_languages import UnitLanguages, store_languages
from pivotkit.corpus.languages.verdicts import SHARE, STRAY
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import InputError
from pivotkit.processes import run_each

FORMAT = 1


@dataclass(frozen=True)
class UnitWork:
    """What is done with each unit: by text or by a store's field, into a folder or not."""

    how: UnitLanguages
    store: TokenStore | None
    folder: Path | None

    @property
    def measure(self) -> str:
        return "characters" if self.store is None else "tokens"

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What the parts depend on besides the files."""
        how = self.how
        mode = how.languages if isinstance(how.languages, str) else f"function {secrets.token_hex()}"  # never the same
        about = {"format": FORMAT, "languages": mode, "on_error": how.on_error, "measure": self.measure}
        if mode in ("detect", "auto") and self.store is None:
            about["detector"] = [detector_version(), SHARE, STRAY, LEAD, RARE, HALF_BYTES, LONG_LINE]
            about["candidates"] = None if how.candidates is None else list(how.candidates)
        return about

    def kept(self, unit: Unit) -> dict[str, Any] | None:
        """The summary of a unit that is done, and whole as it was written."""
        if self.folder is None:
            return None
        path = part_path(self.folder, unit)
        header = read_header(path)
        if header is None or header.get("identity") != value_digest(self.identity):
            return None
        try:
            return LanguagePart.read(path).summary()
        except (InputError, OSError):
            return None

    def run(self, unit: Unit) -> Any:
        """The part of a unit, or with a folder its summary."""
        part = self.how.of(unit) if self.store is None else store_languages(self.store, unit)
        if self.folder is None:
            return part
        part.write(part_path(self.folder, unit), value_digest(self.identity))
        return part.summary()


def run_units(work: UnitWork, units: Sequence[Unit], workers: int | None) -> dict[Unit, Any]:
    """What `UnitWork.run` gives for each unit; those that are kept are not read again."""
    done: dict[Unit, Any] = {unit: kept for unit in units if (kept := work.kept(unit)) is not None}
    left = [unit for unit in units if unit not in done]
    alone = work.store is not None or not isinstance(work.how.languages, str)
    return done | run_each("document_languages", work.run, left, 1 if alone else workers, "Telling languages")
