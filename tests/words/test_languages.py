"""Pairs of language codes, hyphens of their own included."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pivotkit
from pivotkit.words.languages import LANGUAGES, parse_pair

# Codes of one part, and tags as RFC 5646 section 2.1 builds them, in the case that its section 2.1.1 recommends.
LETTERS, SMALL, GREAT, DIGITS = "abcXYZ", "abcxyz", "ABCXYZ", "0189"
ONE_PART = st.text(LETTERS + DIGITS + "_", min_size=1, max_size=8)
LANGUAGE = st.text(SMALL, min_size=2, max_size=3)
SCRIPT = st.builds(str.title, st.text(SMALL, min_size=4, max_size=4))
REGION = st.text(GREAT, min_size=2, max_size=2) | st.text(DIGITS, min_size=3, max_size=3)
VARIANT = st.text(SMALL + DIGITS, min_size=5, max_size=8) | st.sampled_from(["1901", "1996", "0abc"])
TAG = st.tuples(
    LANGUAGE.map(lambda part: [part]),
    st.lists(SCRIPT, max_size=1),
    st.lists(REGION, max_size=1),
    st.lists(VARIANT, max_size=2),
).map(lambda parts: "-".join(itertools.chain(*parts)))
CODE = ONE_PART | TAG


def test_a_pair_is_source_then_target():
    assert parse_pair("fr-zh", LANGUAGES) == ("fr", "zh")


@given(source=CODE, target=CODE)
def test_every_pair_of_tags_is_split_at_the_one_right_hyphen(source, target):
    if source != target:
        assert parse_pair(f"{source}-{target}") == (source, target)
        assert parse_pair(f"{source}-{target}", {source, target}) == (source, target)


@given(codes=st.lists(st.text("ab-", min_size=1, max_size=5), min_size=2, max_size=6, unique=True))
def test_any_codes_of_a_lexicon_are_found_again_or_the_pair_is_refused_as_ambiguous(codes):
    whole = [(source, target) for source in codes for target in codes]
    for source, target in whole:
        pair = f"{source}-{target}"
        ways = [way for way in whole if "-".join(way) == pair]
        if len(ways) > 1:
            with pytest.raises(ValueError, match=r"parse_pair: pair must be two codes in one way only; got"):
                parse_pair(pair, codes)
        elif source != target:
            assert parse_pair(pair, codes) == (source, target)


@pytest.mark.parametrize(
    ("pair", "split"),
    [
        ("en-pt-BR", ("en", "pt-BR")),
        ("pt-BR-en", ("pt-BR", "en")),
        ("zh-Hans-zh-Hant", ("zh-Hans", "zh-Hant")),
        ("zh-Hans-en-GB", ("zh-Hans", "en-GB")),
        ("es-419-fr", ("es-419", "fr")),
        ("ar-001-sr-Latn", ("ar-001", "sr-Latn")),
        ("zho_Hans-eng_Latn", ("zho_Hans", "eng_Latn")),
        ("a-b", ("a", "b")),
        ("de-1996-ca-valencia", ("de-1996", "ca-valencia")),
    ],
)
def test_pairs_of_real_codes(pair, split):
    assert parse_pair(pair) == split
    assert parse_pair(pair, split) == split


def test_other_spellings_of_a_code_are_split_by_the_codes_that_are_known():
    assert parse_pair("en-pt-br", ("en", "pt-br", "zh-min-nan")) == ("en", "pt-br")
    assert parse_pair("zh-min-nan-pt-br", ("en", "pt-br", "zh-min-nan")) == ("zh-min-nan", "pt-br")


def test_a_pair_that_two_ways_split_is_refused_with_both():
    with pytest.raises(ValueError, match="got 'a-b-c', which is a to b-c or a-b to c"):
        parse_pair("a-b-c", ("a", "b-c", "a-b", "c"))


@pytest.mark.parametrize("pair", ["fr", "fr-", "-zh", "fr-fr", "", "-", "--", "fr--zh", "fr-zh-en"])
@pytest.mark.parametrize("known", [LANGUAGES, None])
def test_what_is_no_pair_is_refused(pair, known):
    with pytest.raises(ValueError, match=r"pair must be two different language codes as 'fr-zh'; got|language must be"):
        parse_pair(pair, known)


@pytest.mark.parametrize("pair", [None, 3, ("fr", "zh"), b"fr-zh"])
def test_what_is_no_string_is_refused(pair):
    with pytest.raises(TypeError, match="parse_pair: pair must be a string such as 'fr-zh'; got"):
        parse_pair(pair, LANGUAGES)


@pytest.mark.parametrize(
    ("pair", "unknown"),
    [("fr-xx", "xx"), ("xx-fr", "xx"), ("fr-pt-XX", "pt-XX"), ("xx-Cyrl-fr", "xx-Cyrl"), ("zh-Hans-xx", "xx")],
)
def test_an_unknown_language_is_refused_by_name(pair, unknown):
    with pytest.raises(ValueError, match=f"language must be one of .*; got '{unknown}' in '{pair}'"):
        parse_pair(pair, ("en", "fr", "zh-Hans"))


def test_every_name_belongs_to_one_code():
    assert len(set(LANGUAGES.values())) == len(LANGUAGES)


def test_no_other_code_splits_a_pair():
    splits = re.compile(r"pair\w*(\[[^]]*\])*\.r?(partition|split)\(")
    package = Path(pivotkit.__file__).parent
    found = [path.name for path in package.rglob("*.py") if splits.search(path.read_text("utf-8"))]
    assert found == ["languages.py"]
