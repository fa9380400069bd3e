"""Prompt formats: an instruction, few-shot lines, a query line and the answer that follows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Prompt:
    """A prompt format: four format strings.

    Attributes
    ----------
    instruction : str
        Begins the prompt; may use ``{source_language}`` and ``{target_language}``.
    shot : str
        One worked example; may use these and ``{source}`` and ``{target}``.
    query : str
        The line to be answered; may use the languages and ``{source}``.
    answer : str, default " {target}"
        What follows the query line.
    """

    instruction: str
    shot: str
    query: str
    answer: str = " {target}"

    def __repr__(self) -> str:
        return f"Prompt(query={self.query!r}, answer={self.answer!r})"

    def context(self, source_language: str, target_language: str, shots: Sequence[tuple[str, str]]) -> str:
        """The text before the query line: the instruction and one example per (source, target) of ``shots``."""
        names = {"source_language": source_language, "target_language": target_language}
        lines = (self.shot.format(**names, source=source, target=target) for source, target in shots)
        return self.instruction.format(**names) + "".join(lines)

    def ask(self, source_language: str, target_language: str, source: str) -> str:
        """The query line that asks for ``source``."""
        return self.query.format(source_language=source_language, target_language=target_language, source=source)

    def source_span(self, source_language: str, target_language: str, source: str) -> tuple[int, int]:
        """The characters of the query line that are the source word."""
        before = self.query[: self.query.index("{source}")]
        begin = len(before.format(source_language=source_language, target_language=target_language))
        return begin, begin + len(source)

    def reply(self, target: str) -> str:
        """The text of the answer ``target``, which follows the query line."""
        return self.answer.format(target=target)

    def as_dict(self) -> dict[str, str]:
        """The four format strings by name, for metadata."""
        return asdict(self)


# The format of the code of arXiv 2505.16385.
PAPER = Prompt(
    instruction="Please translate words from {source_language} to {target_language}.\n\n",
    shot="{source_language}: {source}\n{target_language}: {target}\n\n",
    query="{source_language}: {source}\n{target_language}:",
)

# One line per translation, as in the testbed's corpus.
TESTBED = Prompt(
    instruction="",
    shot="{source_language}: {source} {target_language}: {target}\n",
    query="{source_language}: {source} {target_language}:",
)

PROMPTS = {"paper": PAPER, "testbed": TESTBED}
