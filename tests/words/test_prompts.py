from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.words.prompts import PAPER, TESTBED, Prompt, parse_template
from pivotkit.words.task import build_task, task_prompt


def test_the_paper_asks_as_its_code_does():
    context = PAPER.context("English", "French", [("dog", "chien")])
    assert context + PAPER.ask("English", "French", "cat") + PAPER.reply("chat") == (
        "Please translate words from English to French.\n\nEnglish: dog\nFrench: chien\n\nEnglish: cat\nFrench: chat"
    )


def test_the_testbed_asks_in_one_line():
    context = TESTBED.context("A", "B", [("a1", "b1")])
    assert context + TESTBED.ask("A", "B", "a2") + TESTBED.reply("b2") == "A: a1 B: b1\nA: a2 B: b2"


def test_one_string_says_what_four_say():
    assert (
        parse_template(
            "Please translate words from {source_language} to {target_language}.\n\n"
            "{shots}{source_language}: {source}\n{target_language}: {target}\n\n"
        )
        == PAPER
    )
    assert parse_template("{source_language}: {source} {target_language}: {target}\n") == TESTBED


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)


@given(instruction=TEXT, before=TEXT, between=TEXT, after=TEXT, source=TEXT, target=TEXT)
def test_a_template_reads_as_it_is_written(instruction, before, between, after, source, target):
    def plain(text: str) -> str:
        return text.replace("{", "{{").replace("}", "}}")

    prompt = parse_template(
        f"{plain(instruction)}{{shots}}{plain(before)}{{source}}{plain(between)}{{target}}{plain(after)}"
    )
    assert prompt.context("A", "B", [(source, target)] * 2) == instruction + 2 * (
        before + source + between + target + after
    )
    assert prompt.ask("A", "B", source) + prompt.reply(target) == before + source + between + target
    begin, end = prompt.source_span("A", "B", source)
    assert (begin, prompt.ask("A", "B", source)[begin:end]) == (len(before), source)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{source} is", r"have the field \{target\} once; got none"),
        ("is {target}", r"have the field \{source\} once; got none"),
        ("{source} {source} {target}", r"have the field \{source\} once; got it 2 times"),
        ("{shots}{shots}{source}{target}", r"have the field \{shots\} at most once; got it 2 times"),
        ("{target} is {source}", "in this order"),
        ("{source}{shots}{target}", "in this order"),
        ("{source} {word} {target}", "no other fields than source_language, .*, shots; got 'word'"),
        ("{} {source} {target}", "no other fields than .*; got ''"),
        ("{source!r} {target}", "no other fields than .*; got 'source!r'"),
        ("{source.upper} {target}", "no other fields than .*; got 'source.upper'"),
        ("{source:>9} {target}", "no other fields than .*; got 'source:>9'"),
        ("{source} {target} {", "be a format string"),
        ("", r"have the field \{source\} once"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused_by_name(lexicon, template, problem):
    with pytest.raises(ValueError, match=f"^build_task: template must .*{problem}"):
        build_task(lexicon, ["en-fr"], shots=1, template=template)


def test_a_prompt_of_four_strings_is_checked_too():
    with pytest.raises(ValueError, match=r"^Prompt: query must have the field \{source\} once; got none$"):
        Prompt("", "{source}{target}", "?")
    with pytest.raises(ValueError, match=r"^Prompt: instruction must have no other fields .*; got 'shots'$"):
        Prompt("{shots}", "{source}{target}", "{source}")
    with pytest.raises(TypeError, match=r"^Prompt: answer must be a str; got None$"):
        Prompt("", "{source}{target}", "{source}", None)


def test_a_shot_must_end(lexicon):
    bare = "{source} = {target}"
    with pytest.raises(ValueError, match=r"^build_task: template must end a shot with something behind \{target\}"):
        build_task(lexicon, ["en-fr"], shots=1, template=bare)
    items = build_task(lexicon, ["en-fr"], shots=0, template=bare)
    assert items["prompt"].to_pylist()[0] == items["source"].to_pylist()[0] + " ="
    assert task_prompt(items).answer == " {target}"
