"""The translation task as a conversation, as a tokenizer's chat template writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pivotkit.arguments import check_kind, refuse, refuse_kind, shown
from pivotkit.words.prompts import PAPER, Prompt, escaped, parse_template

# Stand for the source word and the answer while the template's own text is looked up; no text has these letters.
_WORD, _ANSWER = "\ue000\ue001", "\ue002\ue003"

Turn = dict[str, str]


class Chat:
    """Writes the contexts of a conversation, in which each shot is a turn of the user and one of the assistant.

    The instruction begins the first turn of the user. Turns have no blanks around them, since most templates drop them.

    Parameters
    ----------
    tokenizer : a Hugging Face tokenizer
        With a chat template.
    prompt : Prompt
        Its query is a turn of the user, its answer one of the assistant.
    variables : mapping of str, optional
        Further variables of the chat template, such as ``{"enable_thinking": False}``.

    Raises
    ------
    ValueError
        The tokenizer has no chat template; it refuses such turns, changes their text, or writes something between the
        end of its prompt and the answer, or the other way round.
    """

    def __init__(self, tokenizer: Any, prompt: Prompt, variables: Mapping[str, Any] | None = None) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise ValueError("build_task: tokenizer must have a chat template for chat; got one without")
        self._tokenizer, self._variables = tokenizer, dict(variables or {})
        self._plain = replace(prompt, query=prompt.query.strip(), answer=prompt.answer.strip())
        self._found: Prompt | None = None  # how a question and its answer read, known from the first context

    def __repr__(self) -> str:
        return f"Chat({type(self._tokenizer).__name__}, {self._plain})"

    def context(self, source_language: str, target_language: str, shots: Sequence[tuple[str, str]]) -> str:
        """The text of the conversation up to the last question: what comes before is the same for any source word."""
        languages = (source_language, target_language)
        instruction = self._plain.instruction.format(source_language=source_language, target_language=target_language)
        turns: list[Turn] = []
        for source, target in shots:
            turns.append(_turn("user", self._plain.ask(*languages, source)))
            turns.append(_turn("assistant", self._plain.reply(target)))
        question = self._plain.ask(*languages, _WORD)
        turns.append(_turn("user", question))
        turns[0]["content"] = instruction.lstrip() + turns[0]["content"]
        text = self._written(turns, True)
        if text.count(question) != 1 or text.count(_WORD) != 1:
            raise ValueError(
                "build_task: tokenizer must have a chat template that shows a turn of the user once and as it is; got "
                f"{shown(text[-60:])}"
            )
        begin = text.index(question)
        between = self._between(turns, text)
        query = self._plain.query + escaped(text[begin + len(question) :])
        found = replace(self._plain, query=query, answer=between + self._plain.answer, special_tokens=False)
        if self._found not in (None, found):
            raise ValueError(
                "build_task: tokenizer must have a chat template that ends every question alike; got another "
                f"end than before: {shown(query[-60:])}"
            )
        self._found = found
        return text[:begin]

    def ask(self, source_language: str, target_language: str, source: str) -> str:
        """The question behind a context, up to where the answer begins."""
        return self._question.ask(source_language, target_language, source)

    def as_dict(self) -> dict[str, Any]:
        """The prompt format of what was written, for metadata."""
        return self._question.as_dict()

    @property
    def _question(self) -> Prompt:
        assert self._found is not None  # a question stands behind a context
        return self._found

    def _between(self, turns: list[Turn], text: str) -> str:
        """The blanks that the template puts before the answer; refuses anything else, and what follows its place."""
        finished = self._written([*turns, _turn("assistant", _ANSWER)], False)
        before = finished.partition(_ANSWER)[0]
        if len(before) == len(finished):
            raise ValueError("build_task: tokenizer must have a chat template that shows the answer; got one without")
        if before.startswith(text) and not before[len(text) :].strip():
            return before[len(text) :]
        if text.startswith(before):
            rule, got = "ends a prompt where the answer begins", f"{shown(text[len(before) :])} behind that place"
        elif before.startswith(text):
            rule, got = "puts the answer right behind a prompt", f"{shown(before[len(text) :])} between"
        else:
            rule, got = "writes a conversation alike with and without its answer", shown(before[-60:])
        raise ValueError(f"build_task: tokenizer must have a chat template that {rule}; got {got}")

    def _written(self, turns: list[Turn], prompting: bool) -> str:
        try:
            text = self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=prompting, **self._variables
            )
        except Exception as error:  # a template may fail in any way
            problem = shown(" ".join(str(error).split()))
            raise ValueError(
                f"build_task: tokenizer must have a chat template that takes turns of user and assistant; got {problem}"
            ) from None
        return str(text)


def _turn(role: str, content: str) -> Turn:
    return {"role": role, "content": content}


def wording_of(
    prompt: Prompt, template: str | None, chat: bool | Mapping[str, Any], tokenizer: Any, shots: int
) -> Prompt | Chat:
    """What writes the prompts; refuses a wording of another kind, and one that does not fit the others."""
    check_kind("build_task", "prompt", prompt, Prompt, "a Prompt")
    check_kind("build_task", "chat", chat, bool | np.bool_ | Mapping, "True, False or a mapping of variables")
    if tokenizer is not None and not hasattr(tokenizer, "apply_chat_template"):
        refuse_kind("build_task", "tokenizer", "be a Hugging Face tokenizer or None", tokenizer)
    talks = isinstance(chat, Mapping) or bool(chat)
    if template is not None:
        if prompt != PAPER:
            raise ValueError("build_task: template must be given without a prompt; got both")
        prompt = parse_template(template)
        if shots and not talks and prompt.shot.endswith("{target}"):
            rule = "end a shot with something behind {target}, such as a line break"
            refuse("build_task", "template", rule, template)
    if not talks:
        return prompt
    for name in chat if isinstance(chat, Mapping) else ():
        if not isinstance(name, str):
            refuse_kind("build_task", "chat", "have names of variables that are str", name)
    if tokenizer is None:
        raise ValueError("build_task: chat must come with a tokenizer, which has the chat template; got none")
    return Chat(tokenizer, prompt, chat if isinstance(chat, Mapping) else None)
