from __future__ import annotations

from pivotkit.words.prompts import PAPER, TESTBED


def test_the_paper_asks_as_its_code_does():
    context = PAPER.context("English", "French", [("dog", "chien")])
    assert context + PAPER.ask("English", "French", "cat") + PAPER.reply("chat") == (
        "Please translate words from English to French.\n\nEnglish: dog\nFrench: chien\n\nEnglish: cat\nFrench: chat"
    )


def test_the_testbed_asks_in_one_line():
    context = TESTBED.context("A", "B", [("a1", "b1")])
    assert context + TESTBED.ask("A", "B", "a2") + TESTBED.reply("b2") == "A: a1 B: b1\nA: a2 B: b2"
