"""Document scores against a loop over documents, on made-up stores and on a real one."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from token_formats import made_store, write_datatrove, write_megatron, write_olmo
from token_graphs import run

from pivotkit.artifacts import read_table, table_metadata
from pivotkit.corpus import TokenFiles
from pivotkit.corpus.matching.match import match_documents
from pivotkit.corpus.reading.documents import work_units
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.tokenize import tokenize
from pivotkit.errors import CorpusError, InputError
from pivotkit.selection.scoring.scores import count_members, score_documents

VOCABULARY = 12
units_of_documents = st.lists(
    st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=6), max_size=8), min_size=1, max_size=3
)


sizes = st.integers(1, 20)  # ids per block


def scored_documents(units, pivots, factory, block=1 << 21, **options):
    """Scores of a store with these documents, and the names of its units."""
    store = made_store(factory.mktemp("store"), *units, vocab_size=VOCABULARY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pivotkit.selection.scoring.scored_rows.BLOCK_TOKENS", block)
        return score_documents(store, pivots, **options), [unit.name for unit in store.units]


@given(units_of_documents, st.sets(st.integers(0, VOCABULARY - 1), min_size=1), sizes)
def test_scores_equal_a_loop_over_documents(tmp_path_factory, units, pivots, block):
    scored, names = scored_documents(units, sorted(pivots), tmp_path_factory, block)
    expected = [
        {
            "unit": names[number],
            "row": row,
            "id": f"u{number}:{row}",
            "tokens": len(document),
            "pivots": sum(token in pivots for token in document),
            "score": sum(token in pivots for token in document) / len(document) if document else 0.0,
            "lang": "und",
        }
        for number, unit in enumerate(units)
        for row, document in enumerate(unit)
    ]
    assert scored.to_pylist() == expected


@given(
    st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=9), max_size=8),
    st.sets(st.integers(0, VOCABULARY - 1), min_size=1),
    sizes,
    st.sampled_from(["olmo", "megatron", "datatrove"]),
)
def test_scores_of_token_files_equal_a_loop_over_documents(tmp_path_factory, texts, pivots, block, format):
    folder = tmp_path_factory.mktemp("files")
    if format == "olmo":
        texts = [[*text, VOCABULARY] for text in texts]
        files = TokenFiles(write_olmo(folder / "a.npy", texts), vocab_size=VOCABULARY + 1, eos=VOCABULARY)
    elif format == "megatron":
        path = write_megatron(folder / "a.bin", [[text] for text in texts])
        files = TokenFiles(path, vocab_size=VOCABULARY, format=format)
    else:
        files = TokenFiles(write_datatrove(folder / "a.ds", texts), vocab_size=VOCABULARY, format=format)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pivotkit.selection.scoring.scored_rows.BLOCK_TOKENS", block)
        scored = score_documents(files, sorted(pivots))
    assert scored.to_pylist() == [
        {
            "unit": files.work_units()[0].name,
            "row": row,
            "id": None,
            "tokens": len(text),
            "pivots": sum(token in pivots for token in text),
            "score": sum(token in pivots for token in text) / len(text) if text else 0.0,
            "lang": None,
        }
        for row, text in enumerate(texts)
    ]


def test_scores_of_several_token_files_are_in_the_order_of_their_names(tmp_path):
    for name, texts in (("b", [[3, 0]]), ("a", [[1, 1, 0], [2, 0]])):
        write_olmo(tmp_path / f"{name}.npy", texts)
    files = TokenFiles(tmp_path, vocab_size=4, eos=0, tokenizer="words")
    scored = score_documents(files, [1, 3])
    assert scored["unit"].to_pylist() == [Unit.of(tmp_path / f"{name}.npy").name for name in "aab"]
    assert (scored["row"].to_pylist(), scored["pivots"].to_pylist()) == ([0, 1, 0], [2, 0, 1])
    names = {Unit.of(tmp_path / name).name: name for name in ("a.npy", "b.npy")}
    assert table_metadata(scored) == {"pivots": 2, "tokenizer": "words", "files": names}


@given(units_of_documents)
def test_scores_are_shares(tmp_path_factory, units):
    every, _ = scored_documents(units, range(VOCABULARY), tmp_path_factory)
    assert set(every["score"].to_pylist()) <= {0.0, 1.0}
    some = scored_documents(units, [0, 1], tmp_path_factory)[0]["score"].to_pylist()
    rest = scored_documents(units, range(2, VOCABULARY), tmp_path_factory)[0]["score"].to_pylist()
    for one, other, tokens in zip(some, rest, every["tokens"].to_pylist(), strict=True):
        assert one + other == pytest.approx(float(tokens > 0))


def test_empty_documents_score_zero(tmp_path_factory):
    scored, _ = scored_documents([[[], [1], []]], [1], tmp_path_factory)
    assert scored["score"].to_pylist() == [0.0, 1.0, 0.0]


def test_a_store_without_documents_gives_an_empty_table(tmp_path_factory):
    scored, _ = scored_documents([[]], [1], tmp_path_factory)
    assert scored.num_rows == 0
    assert scored.column_names == ["unit", "row", "id", "tokens", "pivots", "score", "lang"]


def test_a_pivot_listed_for_several_words_counts_once(tmp_path_factory):
    pivots = pa.table({"token_id": pa.array([1, 1, 2], pa.int32())})
    assert scored_documents([[[1, 2, 3, 3]]], pivots, tmp_path_factory)[0]["pivots"].to_pylist() == [2]


def test_a_document_longer_than_a_block_is_one_document(tmp_path_factory):
    units = [[[1], [1] * 7, [], [0]]]
    assert scored_documents(units, [1], tmp_path_factory, 2)[0]["pivots"].to_pylist() == [1, 7, 0, 0]
    assert count_members(np.ones(9, np.uint32), np.array([0, 1, 8, 8, 9]), np.array([False, True])).tolist() == [
        1,
        7,
        0,
        1,
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_memory_grows_with_the_documents_and_not_with_the_tokens(tmp_path):
    ids = (np.arange(60_000_000) % 30_000).astype("<u4")  # 240 MB in documents of 30,000
    ids[-1] = 30_000
    ids.tofile(tmp_path / "part.npy")
    code = (
        "import resource, sys; from pivotkit.corpus import TokenFiles; from pivotkit.selection import score_documents\n"
        "score = lambda end: score_documents(TokenFiles(sys.argv[1], vocab_size=30_001, eos=end, dtype='uint32'), [7])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; rows = [len(score(29_999)), len(score(30_000))]\n"
        "print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    rows, megabytes = run(code, tmp_path / "part.npy").rsplit(maxsplit=1)
    assert rows == "[2000, 1]"  # with an end only behind all ids, the file is one document
    assert int(megabytes) < 60


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_memory_on_disk_does_not_grow_with_the_documents(tmp_path):
    (np.arange(12_000_000) % 4).astype("<u2").tofile(tmp_path / "part.npy")  # 3 million documents: 170 MB of rows
    (np.arange(400_000) % 4).astype("<u2").tofile(tmp_path / "small.npy")
    code = (
        "import resource, sys; from pivotkit.corpus import TokenFiles; from pivotkit.selection import score_documents\n"
        "folder = sys.argv[1]\n"
        "from pyarrow.dataset import dataset\n"
        "def score(name):\n"
        "    files = TokenFiles(f'{folder}/{name}.npy', vocab_size=4, eos=3)\n"
        "    out = score_documents(files, [1], out=f'{folder}/{name}')\n"
        "    return dataset(list(map(str, out.glob('*.parquet')))).count_rows()\n"
        "small = score('small'); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; rows = score('part')\n"
        "print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    rows, megabytes = run(code, tmp_path).split()
    assert rows == "3000000"
    assert int(megabytes) < 60


def make_matches(names, units, words, present):
    rows = [(name, row) for name, unit in zip(names, units, strict=True) for row in range(len(unit))]
    documents = pa.table(
        {
            "unit": pa.array([unit for unit, _ in rows], pa.string()),
            "row": pa.array([row for _, row in rows], pa.int64()),
        }
    )
    return SimpleNamespace(words=words, documents=documents, hits=csr_array(np.asarray(present, np.int32)))


@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=3, max_size=3), st.data())
def test_translation_pairs_have_both_words_in_the_document(tmp_path_factory, present, data):
    words = ["a", "b", "c", "d"]
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(words), st.sampled_from(words)), max_size=5))
    units = [[[1], []], [[2]]]
    store = made_store(tmp_path_factory.mktemp("store"), *units, vocab_size=VOCABULARY)
    hits = make_matches([unit.name for unit in store.units], units, words, present)
    scored = score_documents(store, [1], hits=hits, pairs=pairs)
    distinct = {frozenset(pair) for pair in pairs}
    assert scored["translation_pairs"].to_pylist() == [
        sum(all(row[words.index(word)] for word in pair) for pair in distinct) for row in present
    ]
    assert scored.schema.field("translation_pairs").type == pa.int32()


def test_one_word_of_a_pair_is_no_translation_pair(tmp_path):
    """The published filter keeps a document that has any one token of a word."""
    units = [[[1], [1]]]
    store = made_store(tmp_path, *units, vocab_size=VOCABULARY)
    hits = make_matches([store.units[0].name], units, ["a", "b"], [[3, 0], [1, 1]])
    assert score_documents(store, [1], hits=hits, pairs=[("a", "b")])["translation_pairs"].to_pylist() == [0, 1]


class TestOnARealStore:
    texts = (("the cat, le Chat", "en"), ("", "fr"), ("le chat noir noir", "fr"), ("une maison", "fr"))

    @pytest.fixture
    def corpus(self, tmp_path):
        for number in range(2):
            lines = [
                orjson.dumps({"id": f"{number}-{row}", "text": text, "lang": lang})
                for row, (text, lang) in enumerate(self.texts)
            ]
            (tmp_path / f"part-{number}.jsonl").write_bytes(b"\n".join(lines))
        return tmp_path

    @pytest.fixture
    def tokenizer(self):
        from tokenizers import Tokenizer
        from tokenizers.models import WordLevel
        from tokenizers.pre_tokenizers import Whitespace

        words = ["[UNK]", "the", "cat", ",", "le", "Chat", "chat", "noir", "une", "maison"]
        tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = Whitespace()
        return tokenizer

    @pytest.fixture
    def store(self, corpus, tokenizer, tmp_path_factory):
        return tokenize(corpus, tokenizer, tmp_path_factory.mktemp("store"))

    def test_scores_and_pairs(self, corpus, store):
        hits = match_documents(corpus, ["cat", "chat", "maison"])
        pairs = pa.table({"source": ["Cat", "chat"], "target": ["chat", "maison"]})
        scored = score_documents(store, [7], hits=hits, pairs=pairs)
        assert scored["id"].to_pylist() == [f"{number}-{row}" for number in range(2) for row in range(4)]
        assert scored["tokens"].to_pylist() == [5, 0, 4, 2] * 2
        assert scored["score"].to_pylist() == [0.0, 0.0, 0.5, 0.0] * 2
        assert scored["translation_pairs"].to_pylist() == [1, 0, 0, 0] * 2
        assert scored["lang"].to_pylist() == ["en", "fr", "fr", "fr"] * 2

    @pytest.mark.parametrize("score", ["share", "distinct"])
    def test_text_scores_as_its_store(self, corpus, store, tokenizer, score):
        assert score_documents(corpus, [7, 4], tokenizer=tokenizer, score=score).equals(
            score_documents(store, [7, 4], score=score), check_metadata=True
        )

    def test_text_has_pairs_too(self, corpus, tokenizer):
        hits = match_documents(corpus, ["cat", "chat"])
        scored = score_documents([corpus], [7], tokenizer=tokenizer, hits=hits, pairs=[("cat", "chat")])
        assert scored["translation_pairs"].to_pylist() == [1, 0, 0, 0] * 2

    def test_bad_text_is_refused_or_left_out(self, corpus, tokenizer):
        with (corpus / "part-1.jsonl").open("ab") as file:
            file.write(b'\n{"text": 3}')
        with pytest.raises(CorpusError, match=r"part-1\.jsonl, line 5"):
            score_documents(corpus, [7], tokenizer=tokenizer)
        assert score_documents(corpus, [7], tokenizer=tokenizer, on_error="skip").num_rows == 8

    def test_text_is_scored_on_disk(self, corpus, tokenizer, tmp_path_factory):
        hits, pairs = match_documents(corpus, ["cat", "chat"]), [("cat", "chat")]
        options = {"tokenizer": tokenizer, "hits": hits, "pairs": pairs, "columns": ["file_name", "folder"]}
        out = score_documents(corpus, [7], **options, out=tmp_path_factory.mktemp("out"))
        scored = pa.concat_tables(read_table(out / f"{unit.name}.parquet") for unit in work_units(corpus))
        assert scored.equals(score_documents(corpus, [7], **options))
        assert scored["translation_pairs"].to_pylist() == [1, 0, 0, 0] * 2
        assert scored["file_name"].to_pylist() == ["part-0.jsonl"] * 4 + ["part-1.jsonl"] * 4
        assert set(scored["folder"].to_pylist()) == {corpus.name}
        with pytest.raises(InputError, match="must hold no scores or those of the same arguments"):
            score_documents(corpus, [7], **{**options, "pairs": [("cat", "cat")]}, out=out)

    def test_hits_of_other_documents_are_refused(self, corpus, store):
        hits = match_documents(corpus / "part-1.jsonl", ["cat"])
        with pytest.raises(ValueError, match="score_documents: hits must be of the same documents as the store"):
            score_documents(store, [7], hits=hits, pairs=[("cat", "cat")])


class TestRefusals:
    @pytest.fixture
    def store(self, tmp_path):
        return made_store(tmp_path, [[1], [2]], vocab_size=VOCABULARY)

    def test_pivots_must_be_tokens_of_the_corpus(self, store):
        with pytest.raises(IndexError, match="score_documents: pivots must be tokens of the corpus, below 12; got 12"):
            score_documents(store, [1, 12])
        with pytest.raises(IndexError, match="got -1"):
            score_documents(store, [-1])

    def test_there_must_be_pivots(self, store):
        with pytest.raises(ValueError, match="score_documents: pivots must hold at least one token; got none"):
            score_documents(store, [])

    def test_pivots_must_be_ids(self, store):
        with pytest.raises(TypeError, match="score_documents: pivots must be a table or a list of token ids"):
            score_documents(store, ["cat"])

    def test_a_table_must_name_its_tokens(self, store):
        with pytest.raises(ValueError, match="score_documents: pivots must have the columns token_id"):
            score_documents(store, pa.table({"id": [1]}))

    def test_hits_and_pairs_come_together(self, store):
        with pytest.raises(ValueError, match="score_documents: hits and pairs must be given together"):
            score_documents(store, [1], pairs=[("a", "b")])

    def test_pairs_must_be_watched(self, store):
        hits = make_matches([store.units[0].name], [[[1], [2]]], ["a"], [[1], [0]])
        with pytest.raises(ValueError, match="score_documents: pairs must be of words that hits watched; got 'b'"):
            score_documents(store, [1], hits=hits, pairs=[("a", "b")])

    def test_hits_must_be_of_as_many_documents(self, store):
        hits = make_matches([store.units[0].name, "u1"], [[[1], [2]], [[3]]], ["a"], [[1], [0], [1]])
        with pytest.raises(ValueError, match="score_documents: hits must be of the store's 2 documents; got 3"):
            score_documents(store, [1], hits=hits, pairs=[])

    def test_token_files_have_no_text_to_match(self, store, tmp_path):
        files = TokenFiles(write_olmo(tmp_path / "a.npy", [[1, 0]]), vocab_size=2, eos=0)
        hits = make_matches([store.units[0].name], [[[1], [2]]], ["a"], [[1], [0]])
        with pytest.raises(
            ValueError, match="score_documents: hits must be None for TokenFiles, whose text is not known"
        ):
            score_documents(files, [1], hits=hits, pairs=[("a", "a")])

    def test_a_corpus_must_be_of_tokens(self, tmp_path):
        with pytest.raises(
            TypeError,
            match="score_documents: corpus must be a TokenStore or TokenFiles, or text with a tokenizer; got PosixPath",
        ):
            score_documents(tmp_path, [1])

    def test_a_token_outside_the_vocabulary_names_its_file(self, tmp_path):
        files = TokenFiles(write_olmo(tmp_path / "a.npy", [[1, 5, 0]]), vocab_size=2, eos=0)
        with pytest.raises(CorpusError, match=r"a\.npy, token 1: must be an id in \[0, 2\); got 5"):
            score_documents(files, [1])

    def test_a_tokenizer_is_for_text(self, store):
        with pytest.raises(ValueError, match="score_documents: tokenizer must be None for TokenStore; got 'x'"):
            score_documents(store, [1], tokenizer="x")
