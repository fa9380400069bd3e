"""Nothing on the page is invisible, and nothing in it can act."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.report.text import arrow, duration, interval, memory, number, plain, script_json, token_text, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "∅"),
        ("\n", "↵"),
        ("\r\n", "⟨U+000D⟩↵"),
        ("  a b ", "␣␣a b␣"),
        (" ", "␣"),
        ("\t\x00\x7f", "⇥⟨U+0000⟩⟨U+007F⟩"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("\u200d", "⟨U+200D⟩"),
        ("👩‍👧", "👩‍👧"),
        ("\u0301", "◌\u0301"),
        ("房子", "房子"),
        ("\u00a0", "⟨U+00A0⟩"),
        ("</script>", "</script>"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_prompt_keeps_its_lines_and_spaces() -> None:
    assert visible(" a\n\tb\x00", lines=True) == " a\n⇥b⟨U+0000⟩"


@given(st.text(max_size=30))
def test_no_control_or_direction_character_survives(text: str) -> None:
    kept = {character for character in visible(text) if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")}
    assert kept <= {"\u200c", "\u200d"}


@given(st.text(max_size=60))
def test_script_json_reads_back_and_cannot_leave_its_element(text: str) -> None:
    raw = str(script_json({"text": text}))
    assert json.loads(raw) == {"text": text}
    assert not set("<>&\u2028\u2029") & set(raw)


def test_numbers_read_like_numbers() -> None:
    assert number(1234.5678, 2) == "1,234.57"
    assert number(None) == number(float("nan")) == number(float("inf")) == "–"
    assert interval(-0.5, 0.25) == "[−0.500, 0.250]"
    assert interval(None, 1.0) == interval(0.0, float("nan")) == "–"
    assert [duration(value) for value in (None, 59.94, 60, 3600)] == ["–", "59.9 s", "1 min 00 s", "1 h 00 min"]
    assert [memory(value) for value in (None, 0, 1023, 2**20)] == ["–", "0 B", "1023 B", "1.00 MiB"]


def test_a_token_without_text_shows_its_id() -> None:
    assert token_text(None, 7) == "#7"
    assert token_text(" a", 7) == "␣a"


def test_settings_are_shown_on_one_line() -> None:
    assert plain(["a", 1]) == "a, 1"
    assert plain({"fr": 0.5}) == '{"fr":0.5}'
    assert plain(None) == "–"
    assert plain("a\nb") == "a↵b"
    assert arrow("fr-zh") == "fr → zh"
    assert arrow("pt-BR-zh-Hans") == "pt-BR → zh-Hans"
    assert arrow("pt-br-en") == "pt-br-en"
    assert arrow("pt-br-en", ("en", "pt-br")) == "pt-br → en"
    assert arrow("all", ("en", "fr")) == "all"
