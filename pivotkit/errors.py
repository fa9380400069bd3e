"""The errors that pivotkit raises, beside Python's own.

Every message follows one grammar: ``<function>: <argument> must <rule>; got <value>``.
"""

from __future__ import annotations

from pathlib import Path


class BackendUnavailable(RuntimeError):
    """The user named a backend or instruction set that this build or machine lacks."""


class InputError(ValueError):
    """A file of the user is not what it must be. The message names the file and the line or byte."""

    def __init__(self, path: str | Path, place: str, problem: str) -> None:
        self.path = str(path)
        self.place = place
        self.problem = problem
        super().__init__(f"{self.path}, {place}: {problem}" if place else f"{self.path}: {problem}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        return type(self), (self.path, self.place, self.problem)  # a worker process must be able to pickle it


class CorpusError(InputError):
    """A corpus file is corrupt, truncated or not in its format. The message names the file and the line or byte."""


class CorpusWarning(UserWarning):
    """A folder of a corpus holds files that are not read. The message says which."""
