"""The native extractor of JSON lines takes what Python's json takes as a document, with the same values, and no more."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pivotkit import _C
from pivotkit.corpus import read_documents
from pivotkit.corpus.reading.records import line_problem

ROOT = Path(__file__).resolve().parents[3]
Document = tuple[str, str | None, str | None]


class Number(str):
    """A number as it is written."""


class Members(list):
    """The members of an object as they are written."""


def oracle(line: bytes) -> Document | None:
    """Text, id and language by Python's json; None when the line is no document."""
    try:
        line_ = line.decode().removeprefix("\ufeff")
        pairs = json.loads(line_, parse_int=Number, parse_float=Number, object_pairs_hook=Members)
        record = {name: value for name, value in pairs} if isinstance(pairs, Members) else pairs
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or type(record.get("text")) is not str:
        return None
    text, identity = record["text"], record.get("id")
    lang = next((value for name, value in reversed(pairs) if name in ("lang", "langs")), None)
    if type(lang) is list and all(type(one) is str for one in lang):
        lang = "+".join(lang) if lang else None
    if not isinstance(identity, str | None) or type(lang) not in (str, type(None)):
        return None
    if re.search("[\ud800-\udfff]", f"{text}{identity}{lang}"):
        return None
    return text, "0" if identity == "-0" and type(identity) is Number else identity, lang


def strings(data: Any, offsets: Any, valid: Any, absent: int) -> list[str | None]:
    found = [
        data[begin:end].tobytes().decode() if valid[place // 8] >> place % 8 & 1 else None
        for place, (begin, end) in enumerate(pairwise(offsets))
    ]
    assert found.count(None) == absent
    return found


def extract(lines: bytes) -> tuple[list[Document], int]:
    """The documents taken from ``lines``, and where the first line begins that is left."""
    block = _C.DocumentBlock()
    # A copy of just these bytes, so that a sanitizer sees a read beyond them.
    stop = block.add_json_lines(np.frombuffer(lines, np.uint8).copy(), 0, len(lines))
    count = len(block)
    data, offsets, rows, ids, langs = block.take()
    assert rows.tolist() == list(range(count))
    texts = [data[begin:end].tobytes().decode() for begin, end in pairwise(offsets)]
    return list(zip(texts, strings(*ids), strings(*langs), strict=True)), stop  # type: ignore[arg-type]


def holds(line: bytes) -> bool:
    """Check one line against Python's json; whether it was taken."""
    found, stop = extract(line)
    expected = oracle(line)
    if stop == 0:
        assert found == []
        assert expected is None
        return line == b""
    assert stop == len(line)
    assert found == [expected]
    return True


text = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
number = st.one_of(
    st.integers(-(10**25), 10**25).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(
        [
            "0",
            "-0",
            "-0.0",
            "1e5",
            "1E+05",
            "2e-7",
            "1e400",
            "1e99",
            "1e100",
            "123456789012345678",
            "1" * 300,
            "-1.0E+99999",
            "NaN",
            "Infinity",
            "-Infinity",
        ]
    ),
)
scalar = st.one_of(text.map(json.dumps), text.map(lambda value: json.dumps(value, ensure_ascii=False)), number,
                   st.sampled_from(["true", "false", "null", "[]", "{}", '""', '"\\ud83d"', '"\\ude00\\ud83d\\ude00"']))  # fmt: skip
space = st.sampled_from(["", "", "", " ", "\t", "\r", "  "])
key = st.one_of(
    st.sampled_from(['"text"', '"id"', '"lang"', '"langs"', '"te\\u0078t"', '"id2"', '"texts"', '""']),
    text.map(json.dumps),
)


@st.composite
def value(draw: Any, depth: int = 3) -> str:
    kind = draw(st.integers(0, 5)) if depth else 0
    if kind < 4:
        return draw(scalar)
    gaps = [draw(space) for _ in range(4)]
    if kind == 4:
        return "[" + f"{gaps[0]},{gaps[1]}".join(draw(st.lists(value(depth - 1), max_size=3))) + gaps[2] + "]"
    pairs = [f"{draw(key)}{gaps[0]}:{gaps[1]}{draw(value(depth - 1))}" for _ in range(draw(st.integers(0, 3)))]
    return "{" + gaps[2] + f"{gaps[3]},{gaps[2]}".join(pairs) + gaps[3] + "}"


@st.composite
def record(draw: Any) -> bytes:
    """A JSON object that mostly is a document, in any spelling."""
    members = [f'"text":{draw(st.one_of(text.map(json.dumps), scalar))}'] if draw(st.integers(0, 9)) else []
    for _ in range(draw(st.integers(0, 4))):
        members.append(f"{draw(key)}{draw(space)}:{draw(space)}{draw(value())}")
    members = draw(st.permutations(members))
    return (draw(space) + "{" + f"{draw(space)},{draw(space)}".join(members) + draw(space) + "}" + draw(space)).encode()


@given(record())
@settings(max_examples=400)
@example(b'{"text":"\\u0000"}')
@example(b'{"text":"\\ud83d\\ude00\\uD83D\\uDE00"}')
@example(b'{"text":"a","text":"b","id":1,"id":null,"lang":"fr","lang":"de"}')
@example(b'{"text":"a","langs":["en","fr"],"lang":"de"}')
@example(b'{"text":"a","lang":"de","langs":[ "en" , "\\u0066r" ],"id":"x"}')
@example(b'{"text":"a","langs":["en",null]}')
@example(b'{"text":"a","langs":["en"],"lang":[]}')
@example(b'{"text":"a","lang":1,"langs":["", ""],"x":2}')
@example(b'{"text":"a","text":1}')
@example(b'{"text":1,"text":"a"}')
@example(b'{"text":"a","id":"x","id":[1]}')
@example(b'{"te\\u0078t":"a"}')
@example(b'{"text":"a","lang":"abcdefgh","\\u0069d":7,"\\ud800":{"id":[]},"lan\\u0067":"fr"}')
@example(b'{"text":"\\ud83d","text":"a","id":"\\ud83d","id":-1.0e5}')
@example(b'{"text":"a","id":-Infinity}')
@example(b'{"text":"a","x":1e-Infinity}')
@example(b'{"text":"a","x":-NaN}')
@example(b'\xef\xbb\xbf{"text":"a"}')
@example(b'\xef\xbb\xbf\xef\xbb\xbf{"text":"a"}')
def test_a_valid_object_gives_what_json_gives(line: bytes) -> None:
    holds(line)


def mutated(line: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for place, removed, put in edits:
        at = place % (len(line) + 1)
        line = line[:at] + put + line[at + removed :]
    return line.replace(b"\n", b" ")


edit = st.tuples(
    st.integers(0, 1 << 16),
    st.integers(0, 3),
    st.one_of(
        st.binary(max_size=2),
        st.sampled_from([b'"', b"\\", b"\\u", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b".", b"e9",
                         b"\x00", b"\xe2\x82\xac", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xe0\x80"]),
    ),
)  # fmt: skip


@given(record(), st.lists(edit, min_size=1, max_size=3))
@settings(max_examples=800)
def test_a_mutated_object_gives_what_json_gives_or_is_left(line: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    holds(mutated(line, edits))


@given(record())
@settings(max_examples=30)
def test_no_beginning_of_a_line_is_taken(line: bytes) -> None:
    for size in range(1, len(line.rstrip())):
        assert not holds(line[:size])


TAKEN = [
    b'{"text":"","id":"","lang":""}',
    b' \t{ "text" : "x" , "id" : -12 , "lang" : null } \r',
    b'{"id":null,"meta":{"a":[1,2.5e-3,{"b":[]}],"c":{}},"text":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u732b"}',
    b'{"text":"' + "é猫😀".encode() * 40 + b'","id":999999999999999999}',
    b'{"text":"\x7f","x":[true,false,null,0,-0.5,1E+10]}',
    b'{"x":' + b"[" * 500 + b"]" * 500 + b',"text":"deep"}',
    b'{"text":"a","x":[NaN,{"y":Infinity,"z":-Infinity}]}',
    b'{"text":"a","x":1e999,"y":-2.5E-99999,"z":' + b"1" * 5000 + b"}",
    b'{"text":"a","x":"\\ud800","\\udc00":"\\udc00\\ud800","y":["\\ud800\\ue000"]}',
    b'\xef\xbb\xbf {"text":"a"}',
    b'{"te\\u0078t":"a","\\u8bed\\u8a00":"zh","l\\u0061ng":"zh"}',
    b'{"text":"a","id":-0}',
    b'{"text":"a","id":1000000000000000000}',
    b'{"text":"a","id":' + b"9" * 400 + b"}",
    b'{"text":"a","id":1.0}',
    b'{"text":"a","id":-1.5e+300}',
    b'{"text":1,"text":"a","id":[],"id":"x","lang":1,"lang":"fr"}',
    b'{"text":"\\ud800","text":"a"}',
]


@pytest.mark.parametrize("line", TAKEN)
def test_documents_are_taken(line: bytes) -> None:
    assert holds(line)


LEFT = [
    b"",
    b'{"text":"a"}x',
    b'{"text":"a"',
    b'{"text":"a",}',
    b'{"text":"a" "id":1}',
    b'{"text":"a\tb"}',
    b'{"text":"\\x"}',
    b'{"text":"\\u00g0"}',
    b'{"text":"\\ud800"}',
    b'{"text":"\\udc00\\ud800"}',
    b'{"text":"\\ud800\\ue000"}',
    b'{"text":"\\ud800\\udbff"}',
    b'{"text":"\xff"}',
    b'{"text":"a"}\xff',
    b'{"text":"a","x":01}',
    b'{"text":"a","x":1.}',
    b'{"text":"a","x":+1}',
    b'{"text":"a","id":NaN}',
    b'{"text":"a","id":-Infinity}',
    b'{"text":"a","x":nan}',
    b'{"text":"a","x":+Infinity}',
    b'{"text":"a","x":1e-Infinity}',
    b'{"text":"a","x":Inf}',
    b'{"text":"a","x":1e}',
    b'{"text":"a","text":"\\ud800"}',
    b'{"text":"a","id":"\\ud800"}',
    b'{"text":"a","lang":"\\udfff"}',
    b'{"text":"a","x":"\\ud80"}',
    b'{"text":"a","text":1}',
    b'{"text":"a","lang":"fr","lang":2}',
    b'{"text":"a","x":tru}',
    b'{"text":"a","x":[1,]}',
    b'{"text":"a","x":[1}}',
    b'{"text":"a","x":{"y":1]}',
    b'{"text":"a","x":{1:2}}',
    b"\xef\xbb\xbf",
    b'\xef\xbb\xbf\xef\xbb\xbf{"text":"a"}',
    b' \xef\xbb\xbf{"text":"a"}',
    b'["text"]',
    b'{"text":"a","id":true}',
    b'{"text":"a","x":' + b"[" * 1100 + b"]" * 1100 + b"}",
]


@pytest.mark.parametrize("line", LEFT)
def test_a_line_that_is_no_document_is_left(line: bytes) -> None:
    assert oracle(line) is None or line.count(b"[") > 1000
    assert line_problem(line, is_json=True).startswith("must ")
    good = b'{"text":"before"}\n'
    assert extract(good + line + b'\n{"text":"after"}') == ([("before", None, None)], len(good))


@pytest.mark.parametrize("levels", [1, 1023, 1024, 1025, 3000, 100000])
@pytest.mark.parametrize("ends", [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"":', b"}]")])
def test_a_value_may_have_1024_levels(levels: int, ends: tuple[bytes, bytes]) -> None:
    count = levels // 2 if len(ends[1]) == 2 else levels
    line = b'{"x":' + ends[0] * count + b"1" + ends[1] * count + b',"text":"a"}'
    taken = extract(line)[1] == len(line)
    assert taken == (count * len(ends[1]) <= 1024)
    if not taken:
        assert line_problem(line, is_json=True) == "must be nested at most 1024 levels deep; got more"


def sequences() -> list[bytes]:
    """Every lead byte with the second bytes at the edges of what may follow, cut short and whole."""
    edges = (0x00, 0x22, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF)
    tails = (b"", b"\x80", b"\xbf\x80", b"\x80\x80\x80", b"a")
    return [bytes([lead, second]) + tail for lead in range(0x80, 0x100) for second in edges for tail in tails]


@pytest.mark.parametrize("before", [0, 1, 13, 14, 15, 16, 31, 47, 62, 63, 64, 79])
def test_utf8_is_judged_as_python_does_at_every_place(before: int) -> None:
    for sequence in sequences():
        for after in (b"", b"abc", b"x" * 70):
            line = b"y" * before + sequence + after
            block = _C.DocumentBlock()
            taken = block.add_text_lines(np.frombuffer(line, np.uint8).copy(), 0, len(line)) == len(line)
            try:
                line.decode()
            except UnicodeDecodeError:
                assert not taken, line
            else:
                assert taken, line


def test_every_code_point_passes_escaped_and_as_it_is() -> None:
    points = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for begin in range(0, len(points), 5000):
        part = "".join(points[begin : begin + 5000])
        lines = "\n".join(json.dumps({"text": part}, ensure_ascii=ascii) for ascii in (True, False)).encode()
        assert extract(lines) == ([(part, None, None)] * 2, len(lines))


@given(st.lists(st.one_of(record(), st.tuples(record(), st.lists(edit, max_size=2)).map(lambda pair: mutated(*pair)))))
@settings(max_examples=100)
def test_a_file_gives_the_documents_of_json(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    batches = list(read_documents(path, "skip"))
    expected = [(row, found) for row, line in enumerate(lines) if (found := oracle(line))]
    assert [row for batch in batches for row in batch.rows] == [row for row, _ in expected]
    assert [text for batch in batches for text in batch.texts] == [text for _, (text, _, _) in expected]
    assert [name for batch in batches for name in batch.ids] == [
        f"lines.jsonl:{row + 1}" if name is None else name for row, (_, name, _) in expected
    ]
    assert sum(batch.skipped for batch in batches) == len(lines) - len(expected)


def test_a_block_refuses_what_it_cannot_take() -> None:
    block = _C.DocumentBlock()
    with pytest.raises(ValueError, match="begin and end must lie in order within the 3 bytes"):
        block.add_json_lines(np.zeros(3, np.uint8), 2, 4)
    with pytest.raises(TypeError):
        block.add_json_lines(np.zeros(3, np.int8), 0, 3)  # type: ignore[arg-type]
    assert len(block) == block.nbytes == block.next_row == 0


def test_blocks_outlive_what_they_came_from_and_each_other(tmp_path: Path) -> None:
    block = _C.DocumentBlock()
    taken = []
    for number in range(6):
        line = json.dumps({"text": str(number) * 1000, "id": number}).encode()
        block.add_json_lines(np.frombuffer(line, np.uint8), 0, len(line))
        taken.append(block.take())
        if number == 2:
            del taken[0]  # its memory comes back and is used again
    del block
    assert [data[:1].tobytes() for data, *_ in taken] == [b"1", b"2", b"3", b"4", b"5"]
    assert [rows.tolist() for _, _, rows, *_ in taken] == [[1], [2], [3], [4], [5]]
    assert [strings(*ids) for *_, ids, _ in taken] == [["1"], ["2"], ["3"], ["4"], ["5"]]


def test_the_portable_build_gives_the_same_for_mutated_lines(tmp_path: Path) -> None:
    compiler = shutil.which("g++")
    if compiler is None or not (ROOT / "csrc").is_dir():
        pytest.skip("no g++ or no sources here")
    sources = [ROOT / "tests" / "native" / "fuzz_json_lines.cpp", *sorted((ROOT / "csrc" / "documents").glob("*.cpp"))]
    digests = set()
    for name, flags in (("native", []), ("portable", ["-DPIVOTKIT_PORTABLE"])):
        program = tmp_path / name
        command = [compiler, "-std=c++17", "-O1", *flags, f"-I{ROOT / 'csrc'}", *map(str, sources), "-o", str(program)]
        subprocess.run(command, check=True)
        digests.add(subprocess.run([program, "20000"], check=True, capture_output=True, text=True).stdout)
    assert len(digests) == 1
