"""Prompt formats: an instruction, few-shot lines, a query line and the answer that follows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from string import Formatter
from typing import Any

from pivotkit.arguments import check_text, refuse

NAMES = ("source_language", "target_language")
SOURCE, TARGET, SHOTS = "source", "target", "shots"


@dataclass(frozen=True)
class Prompt:
    """A prompt format: four format strings. `parse_template` makes one of a single string.

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
    special_tokens : bool, default True
        Whether the tokenizer adds its own special tokens, such as that of the beginning. Those of a chat stand in its
        prompts already.

    Raises
    ------
    TypeError, ValueError
        A format string is none, has another field, or has not the source or target once where it must.
    """

    instruction: str
    shot: str
    query: str
    answer: str = " {target}"
    special_tokens: bool = True

    def __post_init__(self) -> None:
        _pieces("Prompt", "instruction", self.instruction, NAMES)
        _pieces("Prompt", "shot", self.shot, (*NAMES, SOURCE, TARGET), once=(SOURCE, TARGET))
        _pieces("Prompt", "query", self.query, (*NAMES, SOURCE), once=(SOURCE,))
        _pieces("Prompt", "answer", self.answer, (TARGET,), once=(TARGET,))

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

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for metadata."""
        return asdict(self)


def parse_template(template: str, function: str = "build_task") -> Prompt:
    """Make a prompt format of one string: the question with its answer, and what stands before the shots.

    Parameters
    ----------
    template : str
        A format string with the fields ``{source}`` and ``{target}``, each once and in this order, and, where wanted,
        ``{source_language}``, ``{target_language}`` and ``{shots}``. A shot reads as all that follows ``{shots}``. The
        question reads as a shot does, up to its target; blanks before the target belong to the answer. What stands
        before ``{shots}`` begins the prompt. Without ``{shots}``, the shots come first. ``{{`` and ``}}`` are braces.
    function : str, default "build_task"
        The function that errors name.

    Returns
    -------
    Prompt

    Raises
    ------
    TypeError, ValueError
        ``template`` is no str, no format string, has an unknown field, or lacks one, has it twice or out of order.

    Examples
    --------
    >>> prompt = parse_template("Translate.\\n{shots}{source} = {target}\\n")
    >>> prompt.context("French", "German", [("chat", "Katze")]) + prompt.ask("French", "German", "chien")
    'Translate.\\nchat = Katze\\nchien ='
    """
    fields = (*NAMES, SOURCE, TARGET, SHOTS)
    pieces = _pieces(function, "template", template, fields, once=(SOURCE, TARGET), most_once=(SHOTS,))
    begin = pieces.index("{shots}") + 1 if "{shots}" in pieces else 0
    source, target = pieces.index("{source}"), pieces.index("{target}")
    if not begin <= source < target:
        refuse(function, "template", "have {shots}, {source} and {target} in this order", template)
    asked = "".join(pieces[begin:target])
    query = asked.rstrip()
    return Prompt(
        instruction="".join(pieces[: max(begin - 1, 0)]), shot="".join(pieces[begin:]), query=query,
        answer=asked[len(query) :] + "{target}",
    )  # fmt: skip


def _pieces(
    function: str, argument: str, text: Any, fields: Sequence[str], once: Sequence[str] = (),
    most_once: Sequence[str] = (),
) -> list[str]:  # fmt: skip
    """The literal texts and the fields of a format string, in order, each as the format string has it."""
    check_text(function, argument, text)
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        refuse(function, argument, f"be a format string ({error})", text)
    pieces: list[str] = []
    for literal, name, form, conversion in parts:
        if literal:
            pieces.append(escaped(literal))
        if name is None:
            continue
        if name not in fields or form or conversion:
            told = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            refuse(function, argument, f"have no other fields than {', '.join(fields)}", told)
        pieces.append(f"{{{name}}}")
    for name in (*once, *most_once):
        count = pieces.count(f"{{{name}}}")
        if count > 1 or (name in once and not count):
            rule = f"have the field {{{name}}} {'once' if name in once else 'at most once'}"
            raise ValueError(f"{function}: {argument} must {rule}; got {'none' if not count else f'it {count} times'}")
    return pieces


def escaped(text: str) -> str:
    """A text as a format string gives it back."""
    return text.replace("{", "{{").replace("}", "}}")


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
