"""The errors that pivotkit raises beside Python's own.

Every message follows one grammar: ``<function>: <argument> must <rule>; got <value>``.
"""

from __future__ import annotations

from pathlib import Path


class BackendUnavailable(RuntimeError):
    """A backend or instruction set was asked for by name and is absent from this build or machine."""


class InputError(ValueError):
    """A file given by the user is not what it must be; the message names the file and the line or byte."""

    def __init__(self, path: str | Path, place: str, problem: str) -> None:
        self.path = str(path)
        self.place = place
        self.problem = problem
        super().__init__(f"{self.path}, {place}: {problem}" if place else f"{self.path}: {problem}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        return type(self), (self.path, self.place, self.problem)  # so that it can leave a worker process


class CorpusError(InputError):
    """A corpus file is corrupt, truncated or not in its format; the message names the file and the line or byte."""
