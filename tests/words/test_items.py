"""Items of one's own: what is read, what is filled in, what is refused."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.artifacts import table_metadata, write_table
from pivotkit.errors import InputError
from pivotkit.words.items import read_items
from pivotkit.words.questions import questions, source_spans
from pivotkit.words.task import ITEMS, build_task, task_prompt

WORDS = [("chat", "Katze"), ("chien", "Hund"), ("art", "Kunst"), ("pain", "Brot")]


def rows(**changes: list) -> dict[str, list]:
    columns = {
        "prompt": [f"French: {source}\nGerman:" for source, _ in WORDS],
        "source": [source for source, _ in WORDS],
        "target": [target for _, target in WORDS],
        "pair": ["fr-de"] * len(WORDS),
    } | changes
    return {name: values for name, values in columns.items() if values}


def read(drawn: int = 2, **changes: list) -> pa.Table:
    return read_items(pa.table(rows(**changes)), distractors=drawn)


def test_what_a_table_leaves_out_is_filled_in():
    items = read()
    assert items.column_names == [*ITEMS.names, "after"]
    assert items.drop_columns(["after"]).schema.remove_metadata() == ITEMS
    first = items.to_pylist()[0]
    wrong = first.pop("distractors")
    assert first == {
        "item": 0, "pair": "fr-de", "concept": "chat", "line": 1, "source": "chat", "target": "Katze",
        "targets": ["Katze"], "words": [("fr", "chat"), ("de", "Katze")], "contexts": ["French: "],
        "prompt": "French: chat\nGerman:", "attributes": [], "after": "\nGerman:",
    }  # fmt: skip
    assert len(wrong) == 2
    assert set(wrong) <= {"chien", "art", "pain"}
    assert table_metadata(items)["languages"] == {"de": "German", "fr": "French"}


def test_what_a_table_has_is_kept():
    found = read_items(
        pa.table(
            rows(
                item=[5, 3, 9, 0], concept=["cat", "dog", "art", "bread"], target=["Katze|Kater", "Hund", "Kunst", "Brot"],
                distractors=[["chien"], ["pain"], ["chat"], ["art"]], en=["cat", "dog", None, "bread"], level=[1, 2, 3, None],
            )
        )
    ).to_pylist()  # fmt: skip
    assert [row["item"] for row in found] == [5, 3, 9, 0]
    assert [row["concept"] for row in found] == ["cat", "dog", "art", "bread"]
    assert (found[0]["target"], found[0]["targets"]) == ("Katze", ["Katze", "Kater"])
    assert [row["distractors"] for row in found] == [["chien"], ["pain"], ["chat"], ["art"]]
    assert [dict(row["words"]).get("en") for row in found] == ["cat", "dog", None, "bread"]
    assert [dict(row["attributes"]) for row in found] == [{"level": "1"}, {"level": "2"}, {"level": "3"}, {}]


def test_a_list_of_targets_accepts_all_and_shows_the_target():
    found = read(targets=[["Kater", "Katze"], ["Hund"], ["Kunst"], ["Brot"]]).to_pylist()
    assert (found[0]["target"], found[0]["targets"]) == ("Katze", ["Katze", "Kater"])
    alone = read(target=[], targets=[["Kater", "Katze"], ["Hund"], ["Kunst"], ["Brot"]]).to_pylist()
    assert alone[0]["target"] == "Kater"


@pytest.mark.parametrize(
    ("prompt", "source", "context", "after"),
    [
        ("art: artist, art. Start:", "art", "art: artist, ", ". Start:"),  # the last whole word
        ("Artisten: xartx?", "art", "Artisten: x", "x?"),  # else the last occurrence
        ("把学校翻译成法语：", "学校", "把", "翻译成法语："),
        ("c++ (c++) is", "c++", "c++ (", ") is"),
    ],
)
def test_the_source_is_its_last_whole_word_in_the_prompt(prompt, source, context, after):
    table = pa.table({"prompt": [prompt], "source": [source], "target": ["Ziel"]})
    items = read_items(table, pairs=["fr-de"], distractors=0)
    row = items.to_pylist()[0]
    assert (row["contexts"], row["after"]) == ([context], after)
    assert row["contexts"][0] + questions(items)(row, "x") == context + "x" + after
    [(begin, end)] = source_spans(items)
    assert (begin, prompt[begin:end]) == (len(context), source)


def test_the_answer_follows_a_space_unless_the_prompts_end_in_a_blank():
    assert task_prompt(read()).answer == " {target}"
    blank = [f"French: {source}\nGerman:\n" for source, _ in WORDS]
    assert task_prompt(read(prompt=blank)).answer == "{target}"
    with pytest.raises(InputError, match=r"row 2: prompts must all end in a blank, or none; row 1 differs$"):
        read(prompt=[blank[0], *rows()["prompt"][1:]])
    whole = read_items(pa.table(rows(prompt=blank)), distractors=1, special_tokens=False)
    assert not task_prompt(whole).special_tokens


@given(seed=st.integers(0, 1000))
def test_distractors_are_other_sources_of_the_pair(seed):
    table = pa.table(
        {
            "prompt": [f"{number}: w{number} ->" for number in range(12)],
            "source": [f"w{number}" for number in range(12)],
            "target": [f"t{number // 2}" for number in range(12)],  # two sources of one target
            "pair": ["fr-de"] * 8 + ["fr-en"] * 4,
        }
    )
    for number, row in enumerate(read_items(table, distractors=2, seed=seed).to_pylist()):
        drawn = {int(word[1:]) for word in row["distractors"]}
        assert len(drawn) == 2
        assert number // 2 not in {other // 2 for other in drawn}
        assert {other < 8 for other in drawn} == {number < 8}


def test_a_limit_leaves_the_first_rows_of_each_pair_whatever_the_seed():
    table = pa.table(rows(pair=["fr-de", "fr-en", "fr-de", "fr-de"], target=["Katze", "dog", "Kunst", "Brot"]))
    kept = read_items(table, pairs=["fr-de"], distractors=1)
    assert kept["item"].to_pylist() == [0, 2, 3]
    for seed in range(5):
        some = read_items(table, pairs=["fr-de"], distractors=1, limit=2, seed=seed)
        assert some["item"].to_pylist() == [0, 2]
    assert read_items(table, distractors=0, limit=1)["item"].to_pylist() == [0, 1]
    with pytest.raises(ValueError, match=r"^read_items: pairs must be among fr-de, fr-en; got 'de-fr'$"):
        read_items(table, pairs=["de-fr"])


def named(pairs: str, concepts: str) -> pa.Table:
    """A row for each letter of ``concepts``, in the pair of languages that stands above it: d is fr-de, e is fr-en."""
    return pa.table(
        {
            "prompt": [f"w{n} is" for n in range(len(pairs))],
            "source": [f"w{n}" for n in range(len(pairs))],
            "target": [f"t{n}" for n in range(len(pairs))],
            "pair": [f"fr-{pair}{'e' if pair == 'd' else 'n'}" for pair in pairs],
            "concept": list(concepts),
        }
    )


def test_a_limit_leaves_the_first_named_concepts_that_all_pairs_have_with_all_their_items():
    table = named("dddddeeee", "xaabcbcay")
    for seed in range(5):
        kept = read_items(table, distractors=0, limit=2, seed=seed)
        assert list(zip(kept["pair"].to_pylist(), kept["concept"].to_pylist(), strict=True)) == [
            ("fr-de", "a"), ("fr-de", "a"), ("fr-de", "b"), ("fr-en", "b"), ("fr-en", "a"),
        ]  # fmt: skip
        assert table_metadata(kept)["concepts"] == {"chosen": 2, "shared": 3}
    assert set(read_items(table, distractors=0, limit=9)["concept"].to_pylist()) == {"a", "b", "c"}
    alone = read_items(table, pairs=["fr-de"], distractors=0, limit=2)
    assert alone["concept"].to_pylist() == ["x", "a", "a"]
    with pytest.raises(ValueError, match=r"^read_items: .* pairs must have concepts in common; got none"):
        read_items(named("de", "xy"), distractors=0, limit=1)


def test_a_limit_follows_the_same_rule_when_the_table_is_read_again(lexicon):
    whole = read_items(named("dddddeeee", "xaabcbcay"), distractors=0)
    assert read_items(whole, limit=2)["concept"].to_pylist() == ["a", "a", "b", "b", "a"]
    plain = read_items(named("ddee", "xaay").drop_columns(["concept"]), distractors=0)
    assert read_items(plain, limit=1)["item"].to_pylist() == [0, 2]
    task = build_task(lexicon, ["en-fr", "fr-zh"], shots=1, contexts=2, distractors=3)
    few = build_task(lexicon, ["en-fr", "fr-zh"], limit=3, shots=1, contexts=2, distractors=3)
    assert read_items(task, limit=3)["source"].to_pylist() == few["source"].to_pylist()


def test_text_and_parquet_say_the_same(tmp_path):
    table = pa.table(rows(en=["cat", "dog", "art", "bread"]))
    pq.write_table(table, tmp_path / "items.parquet")
    lines = ["prompt\tsource\ttarget\tpair\ten"]
    lines += [
        "\t".join([f'"{row["prompt"]}"', row["source"], row["target"], row["pair"], row["en"]])
        for row in table.to_pylist()
    ]
    (tmp_path / "items.tsv").write_text("\ufeff" + "\n".join(lines) + "\n\n")
    (tmp_path / "items.csv").write_text("\n".join(lines).replace("\t", ","))
    wanted = read_items(table, distractors=1).drop_columns(["line"]).to_pylist()
    for name in ("items.parquet", "items.tsv", "items.csv"):
        found = read_items(tmp_path / name, distractors=1)
        assert found.drop_columns(["line"]).to_pylist() == wanted, name
        assert table_metadata(found)["lexicon"] == str(tmp_path / name)
    assert read_items(str(tmp_path / "items.tsv"), distractors=1)["line"].to_pylist() == [2, 4, 6, 8]


def test_a_table_that_pivotkit_made_is_taken_as_it_is(lexicon, tmp_path):
    items = build_task(lexicon, ["en-fr", "fr-zh"], shots=1, contexts=2, distractors=3)
    write_table(items, tmp_path / "items.parquet")
    found = read_items(tmp_path / "items.parquet")
    assert found.to_pylist() == items.to_pylist()
    assert table_metadata(found) == table_metadata(items)
    assert set(read_items(items, pairs=["fr-zh"])["pair"].to_pylist()) == {"fr-zh"}
    assert read_items(items, limit=3).num_rows == 6
    with pytest.raises(InputError, match=r"must have the columns of build_task; got none named contexts$"):
        read_items(items.drop_columns(["contexts"]))


def test_codes_of_ones_own_need_names():
    table = pa.table(rows(pair=["xx-de"] * 4))
    with pytest.raises(InputError, match=r"row 1: column pair: parse_pair: language must be one of .*; got 'xx'"):
        read_items(table)
    items = read_items(table, languages={"xx": "Xish"}, distractors=0)
    assert table_metadata(items)["languages"] == {"de": "German", "xx": "Xish"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"prompt": []}, r"must have the columns prompt, source, target; got none named prompt$"),
        ({"source": [], "target": []}, r"got none named source, target$"),
        ({"prompt": ["a chat", "", "art is", "pain is"]}, r"row 2: column prompt must not be empty$"),
        ({"prompt": [" \n", *rows()["prompt"][1:]]}, r"row 1: column prompt must hold more than blanks$"),
        ({"prompt": [1, 2, 3, 4]}, r"row 1: column prompt must hold text; got int$"),
        ({"prompt": ["a dog is", *rows()["prompt"][1:]]},
         r"row 1: column prompt must hold the source word 'chat'; got none$"),
        ({"source": ["chat ", *rows()["source"][1:]]}, r"row 1: column source must have no blanks around the word"),
        ({"source": ["chat|minet", *rows()["source"][1:]]}, r"row 1: column source must hold one word"),
        ({"target": ["Chat", "Hund", "Kunst", "Brot"]},
         r"row 1: column target must hold another word than the source, to be told apart from it; got 'Chat'$"),
        ({"target": ["Katze", None, "Kunst", "Brot"]}, r"row 2: column target must not be empty$"),
        ({"target": ["Katze|Katze", "Hund", "Kunst", "Brot"]}, r"row 1: column target must have each alternative once"),
        ({"targets": [["Kater"], ["Hund"], ["Kunst"], ["Brot"]]}, r"row 1: column targets must hold the target 'Katze'"),
        ({"pair": []}, r"row 1: column pair must not be empty, unless pairs name one for all items$"),
        ({"pair": ["fr-de", "fr", "fr-de", "fr-de"]}, r"row 2: column pair: parse_pair: pair must be two different"),
        ({"pair": ["fr-de", "fr-qq", "fr-de", "fr-de"]}, r"row 2: column pair: .* got 'qq' in 'fr-qq'$"),
        ({"item": [0, 1, 1, 2]}, r"row 3: item 1 must be there once; row 2 has it too$"),
        ({"item": [0, 1, -1, 2]}, r"row 3: column item must hold a whole number from 0 to 2147483647; got -1$"),
        ({"item": ["0", "1", "x", "2"]}, r"row 3: column item must hold a whole number .*; got 'x'$"),
        ({"source": ["chat", "chat", "art", "pain"], "prompt": ["chat =", "chat =", "art =", "pain ="],
          "target": ["Katze", "Katze", "Kunst", "Brot"]},
         r"row 2: a prompt with its target must be there once; row 1 has it too$"),
        ({"distractors": [["chat"], ["art"], ["pain"], ["chien"]]}, r"row 1: column distractors must hold other words"),
        ({"distractors": [["art"], None, ["pain"], ["chien"]]}, r"row 2: column distractors must hold words in every row"),
        ({"id": ["1", "2", "3", "4"]}, r"row 1: column id must hold words of Indonesian; got '1'$"),
        ({"note": [["a"], ["b"], ["c"], ["d"]]}, r"row 1: column note must hold text or numbers; got list$"),
        ({"words": [{"x": 1}] * 4}, r"row 1: column words must map known language codes to words"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_an_item_is_refused_with_its_place(changes, problem):
    with pytest.raises(InputError, match=f"^read_items: table.*{problem}"):
        read(**changes)


def test_too_few_other_sources_are_refused_and_may_be_none():
    told = r"pair fr-de must have 9 other sources for distractors of item 0, or a column distractors; got 3$"
    with pytest.raises(InputError, match=told):
        read_items(pa.table(rows()))
    assert read(0)["distractors"].to_pylist() == [[]] * 4


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"line 1: must have the columns prompt, source, target; got none named prompt, source, target$"),
        ("prompt\tsource\ttarget\n", r"must hold at least one item; got none$"),
        ("prompt\tsource\ttarget\tsource\n", r"line 1: must name each column once; got 'source' twice$"),
        ("prompt\tsource\ttarget\na chat\tchat\n", r"line 2: must have 3 cells as the header; got 2$"),
        ("prompt\tsource\ttarget\tpair\n\n\ta\tb\tfr-de\n", r"line 3: column prompt must not be empty$"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_its_line(tmp_path, text, problem):
    (tmp_path / "items.tsv").write_text(text)
    with pytest.raises(InputError, match=f"^{tmp_path}/items.tsv.*{problem}"):
        read_items(tmp_path / "items.tsv")


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "items.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match=r"must be a Parquet file"):
        read_items(tmp_path / "items.parquet")
    (tmp_path / "items.tsv").write_bytes(b"prompt\tsource\ttarget\n\xff\n")
    with pytest.raises(InputError, match=r"line 2: must be UTF-8; byte 21 is not$"):
        read_items(tmp_path / "items.tsv")
    with pytest.raises(FileNotFoundError):
        read_items(tmp_path / "absent.tsv")
