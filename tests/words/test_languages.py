from __future__ import annotations

import pytest

from pivotkit.words.languages import LANGUAGES, parse_pair


def test_a_pair_is_source_then_target():
    assert parse_pair("fr-zh", LANGUAGES) == ("fr", "zh")


@pytest.mark.parametrize("pair", ["fr", "fr-", "-zh", "fr-fr", ""])
def test_what_is_no_pair_is_refused(pair):
    with pytest.raises(ValueError, match=r"pair must be two different language codes as 'fr-zh'; got"):
        parse_pair(pair, LANGUAGES)


def test_an_unknown_language_is_refused_by_name():
    with pytest.raises(ValueError, match="got 'xx' in 'fr-xx'"):
        parse_pair("fr-xx", LANGUAGES)
