"""What the objects of pivotkit.words show of themselves: one short line."""

from __future__ import annotations

from pivotkit.words.lexicon import Lexicon
from pivotkit.words.prompts import PAPER
from pivotkit.words.word_tokens import TokenPolicy, WordTokens


def test_a_lexicon_shows_its_size_and_not_its_words():
    rows = [{"en": "dog", "fr": "chien"}] * 500
    lexicon = Lexicon({"en": "English", "fr": "French"}, rows, [""] * 500, "words.tsv")
    assert repr(lexicon) == "Lexicon(concepts=500, languages=['en', 'fr'], path='words.tsv')"


def test_a_policy_shows_its_fields():
    assert repr(TokenPolicy()) == "TokenPolicy(space='both', case='first', pieces='first', bytes='keep')"


def test_word_tokens_show_their_tokenizer_and_policy(tokenizer):
    shown = repr(WordTokens(tokenizer, TokenPolicy(case="all")))
    assert shown == f"WordTokens({type(tokenizer).__name__}, {TokenPolicy(case='all')!r})"


def test_a_prompt_shows_its_query_and_answer():
    query = "{source_language}: {source}\n{target_language}:"
    assert repr(PAPER) == f"Prompt(query={query!r}, answer=' {{target}}')"
