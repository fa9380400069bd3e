"""Prompts: an instruction, few-shot lines, a query line and the answer that may follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Prompt:
    """Format strings over ``source_language``, ``target_language``, ``source`` and ``target``."""

    instruction: str
    shot: str
    query: str
    answer: str = " {target}"

    def context(self, source_language: str, target_language: str, shots: Sequence[tuple[str, str]]) -> str:
        """The text before the query line: the instruction and one line for each (source, target) of ``shots``."""
        names = {"source_language": source_language, "target_language": target_language}
        lines = (self.shot.format(**names, source=source, target=target) for source, target in shots)
        return self.instruction.format(**names) + "".join(lines)

    def ask(self, source_language: str, target_language: str, source: str) -> str:
        """The query line for ``source``."""
        return self.query.format(source_language=source_language, target_language=target_language, source=source)

    def source_span(self, source_language: str, target_language: str, source: str) -> tuple[int, int]:
        """The characters of the query line that are the source word."""
        before = self.query[: self.query.index("{source}")]
        begin = len(before.format(source_language=source_language, target_language=target_language))
        return begin, begin + len(source)

    def reply(self, target: str) -> str:
        """What follows the query line when the answer is ``target``."""
        return self.answer.format(target=target)

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


# arXiv 2505.16385, as its code writes it.
PAPER = Prompt(
    instruction="Please translate words from {source_language} to {target_language}.\n\n",
    shot="{source_language}: {source}\n{target_language}: {target}\n\n",
    query="{source_language}: {source}\n{target_language}:",
)

# One line a translation, as the testbed's corpus has them.
TESTBED = Prompt(
    instruction="",
    shot="{source_language}: {source} {target_language}: {target}\n",
    query="{source_language}: {source} {target_language}:",
)

PROMPTS = {"paper": PAPER, "testbed": TESTBED}
