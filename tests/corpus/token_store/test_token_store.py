"""A corpus as token ids on disk."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from pivotkit.artifacts import read_json
from pivotkit.corpus import TokenStore, tokenize, work_units
from pivotkit.corpus.token_store import tokenize as module
from pivotkit.corpus.token_store.store import unit_path
from pivotkit.corpus.token_store.writer import UnitWriter
from pivotkit.errors import CorpusError, InputError


def ids_of(store: TokenStore) -> list[list[list[int]]]:
    return [[document.tolist() for document in store.documents(unit)] for unit in store.units]


def test_ids_are_the_tokenizers_own(write: Any, tmp_path: Path, tokenizer: Tokenizer) -> None:
    texts = ["the cat and the dog.", "", "le chat", "猫 犬"]
    write(texts, "corpus/a.jsonl")
    write(["a tree"], "corpus/b.jsonl", "fr")
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    store = tokenize(tmp_path / "corpus", tokenizer, tmp_path / "out")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    assert ids_of(store) == [[tokenizer.encode(text).ids for text in texts], [[2, 7]]]
    assert [store.tokens(unit) for unit in store.units] == [10, 2]
    assert store.vocab_size == 15
    first = next(store.documents(store.units[0]))
    assert first.dtype == np.uint32
    assert not first.flags.writeable
    assert store.table(store.units[1]).to_pydict() == {"row": [0], "id": ["corpus/b.jsonl/0"], "lang": ["fr"]}


def test_a_store_opens_again_and_is_not_made_twice(
    write: Any, tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(["the cat"], "corpus/a.jsonl")
    store = tokenize(tmp_path / "corpus", tokenizer, tmp_path / "out")
    monkeypatch.setattr(module, "UnitWriter", lambda *_: pytest.fail("a finished unit must be kept"))
    again = tokenize(tmp_path / "corpus", tokenizer, tmp_path / "out")
    assert ids_of(again) == ids_of(store) == ids_of(TokenStore.open(tmp_path / "out"))
    assert again.fingerprint == store.fingerprint


def test_a_stopped_run_goes_on(
    write: Any, tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        write([f"the {name} cat"], f"corpus/{name}.jsonl")
    whole = tokenize(tmp_path / "corpus", tokenizer, tmp_path / "whole")
    real, calls = UnitWriter.finish, []

    def stop_at_second(writer: UnitWriter) -> None:
        calls.append(writer)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(writer)

    monkeypatch.setattr(UnitWriter, "finish", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        tokenize(tmp_path / "corpus", tokenizer, tmp_path / "out")
    with pytest.raises(InputError, match=r"found no store\.json"):
        TokenStore.open(tmp_path / "out")
    store = tokenize(tmp_path / "corpus", tokenizer, tmp_path / "out")
    assert ids_of(store) == ids_of(whole)
    assert len(calls) == 4


@pytest.mark.parametrize("suffix", [".u32", ".offsets.npy", ".parquet"])
@pytest.mark.parametrize("kept", [None, 0, 3, -1])
def test_files_cut_short_are_refused_and_made_anew(
    write: Any, tmp_path: Path, tokenizer: Tokenizer, suffix: str, kept: int | None
) -> None:
    write(["the cat", "a dog"], "corpus/a.jsonl")
    store = tokenize(tmp_path / "corpus", tokenizer, tmp_path / "out")
    whole = ids_of(store)
    file = unit_path(store.folder, store.units[0], suffix)
    if kept is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"a\.jsonl: must have all files of this unit whole"):
        TokenStore.open(tmp_path / "out")
    assert ids_of(tokenize(tmp_path / "corpus", tokenizer, tmp_path / "out")) == whole


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("suffix", [".u32", ".offsets.npy", ".parquet"])
def test_a_flipped_bit_is_tokenized_anew_or_refused(
    write: Any, tmp_path: Path, tokenizer: Tokenizer, suffix: str, seed: int
) -> None:
    write(["the cat and a dog", "a dog", "le chat et le chien"] * 9, "corpus/a.jsonl")
    store = tokenize(tmp_path / "corpus", tokenizer, tmp_path / "out")
    whole, file = ids_of(store), unit_path(store.folder, store.units[0], suffix)
    raw = bytearray(file.read_bytes())
    raw[np.random.default_rng(seed).integers(len(raw))] ^= 1 << seed
    file.write_bytes(raw)
    with contextlib.suppress(InputError):
        opened = TokenStore.open(tmp_path / "out")
        assert len(ids_of(opened)[0]) == 27
        opened.table(opened.units[0])
    assert ids_of(tokenize(tmp_path / "corpus", tokenizer, tmp_path / "out")) == whole


@pytest.mark.parametrize(
    "offsets",
    [
        np.array([0, 5, 3, 7]), np.array([1, 3, 5, 7]), np.array([0, 3, 5, 8]), np.array([0, 3, 5, 7], np.int32),
        np.array([[0, 3, 5, 7]]), np.array([0.0, 3, 5, 7]), np.array([0, 1 << 40, 5, 7]), np.array([0, -3, 5, 7]),
    ],
)  # fmt: skip
def test_offsets_that_do_not_ascend_are_refused(
    write: Any, tmp_path: Path, tokenizer: Tokenizer, offsets: np.ndarray
) -> None:
    store = tokenize(write(["the cat and", "a dog", "le chat"]), tokenizer, tmp_path / "out")
    np.save(unit_path(store.folder, store.units[0], ".offsets.npy"), offsets)
    with pytest.raises(InputError, match=r"offsets\.npy: must hold offsets that ascend from 0 to 7"):
        store.offsets(store.units[0])


@pytest.mark.parametrize("name", ["store.json", "tokenizer.json"])
@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "",
        "null",
        '{"units": 3}',
        '{"units": [{}]}',
        '{"units": [7]}',
        '{"units": [{"path": 1}]}',
        '{"vocab_size": "a"}',
    ],
)
def test_a_store_with_a_broken_list_is_refused_by_name(
    write: Any, tmp_path: Path, tokenizer: Tokenizer, name: str, text: str
) -> None:
    tokenize(write(["the cat"]), tokenizer, tmp_path / "out")
    (tmp_path / "out" / name).write_text(text)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        TokenStore.open(tmp_path / "out")


def test_a_store_of_another_tokenizer_is_replaced_where_that_is_asked(
    write: Any, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    path, other = write(["x x"]), Tokenizer(WordLevel({"x x": 0}, unk_token="x x"))
    tokenize(path, tokenizer, tmp_path / "out")
    store = tokenize(path, other, tmp_path / "out", replace=True)
    assert ids_of(store) == [[[0]]]
    assert ids_of(tokenize(path, other, tmp_path / "out", on_error="skip", replace=True)) == [[[0]]]
    assert TokenStore.open(tmp_path / "out").on_error == "skip"


def test_a_store_is_that_of_files_which_were_moved(write: Any, tmp_path: Path, tokenizer: Tokenizer) -> None:
    for name in "ab":
        write([f"the cat {name}"], f"corpus/{name}.jsonl")
    store = tokenize(tmp_path / "corpus", tokenizer, tmp_path / "out")
    (tmp_path / "corpus").rename(tmp_path / "elsewhere")
    moved = store.moved(work_units(tmp_path / "elsewhere"))
    assert [unit.path.parent.name for unit in moved.units] == ["elsewhere"] * 2
    assert ids_of(moved) == ids_of(store)
    (tmp_path / "elsewhere" / "b.jsonl").write_text("")
    with pytest.raises(InputError, match=r"must hold every file of the corpus as it is now; got .*b\.jsonl"):
        store.moved(work_units(tmp_path / "elsewhere"))


def test_a_changed_file_is_tokenized_anew(write: Any, tmp_path: Path, tokenizer: Tokenizer) -> None:
    write(["the cat"], "corpus/a.jsonl")
    store = tokenize(tmp_path / "corpus", tokenizer, tmp_path / "out")
    old = store.units[0]
    write(["the dog and cat"], "corpus/a.jsonl")
    store = tokenize(tmp_path / "corpus", tokenizer, tmp_path / "out")
    assert ids_of(store) == [[[1, 4, 9, 3]]]
    assert store.units == work_units(tmp_path / "corpus") != [old]
    with pytest.raises(ValueError, match="unit must be one of the store's units"):
        store.ids(old)


def test_another_tokenizer_or_rule_is_refused(write: Any, tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = write(["the cat"])
    tokenize(path, tokenizer, tmp_path / "out")
    with pytest.raises(InputError, match="must be a token store with fingerprint"):
        tokenize(path, Tokenizer(WordLevel({"x": 0}, unk_token="x")), tmp_path / "out")
    with pytest.raises(InputError, match="must be a token store with on_error skip; got raise"):
        tokenize(path, tokenizer, tmp_path / "out", on_error="skip")


def test_bad_lines_are_refused_or_left_out(write: Any, tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = write(["the cat", "a dog"])
    path.write_text("{\n" + path.read_text())
    with pytest.raises(CorpusError, match="line 1"):
        tokenize(path, tokenizer, tmp_path / "out")
    assert not list((tmp_path / "out" / "units").iterdir())
    store = tokenize(path, tokenizer, tmp_path / "skipping", on_error="skip")
    assert store.table(store.units[0])["row"].to_pylist() == [1, 2]


def test_a_path_names_a_tokenizer(write: Any, tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = write(["the cat"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    by_folder = tokenize(path, tmp_path, tmp_path / "out")
    by_object = tokenize(path, tokenizer, tmp_path / "out")
    assert (
        by_folder.fingerprint == by_object.fingerprint == read_json(tmp_path / "out" / "tokenizer.json")["fingerprint"]
    )


def test_what_is_no_tokenizer_is_refused(write: Any, tmp_path: Path) -> None:
    path = write(["the cat"])
    with pytest.raises(TypeError, match="tokenizer must be a fast tokenizer or a path; got function"):
        tokenize(path, lambda text: text, tmp_path / "out")
    with pytest.raises(InputError, match=r"must be a tokenizer\.json; found no such file"):
        tokenize(path, tmp_path / "absent", tmp_path / "out")


def test_a_store_under_a_file_cannot_be_made(write: Any, tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = write(["the cat"])
    with pytest.raises((NotADirectoryError, FileExistsError)):
        tokenize(path, tokenizer, path / "out")


def test_a_hugging_face_tokenizer_gives_its_own_ids(shared: Path, real_models: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from pivotkit.corpus.reading.documents import read_documents

    tokenizer = AutoTokenizer.from_pretrained(real_models / "smollm2-135m")
    batch = next(iter(read_documents(shared / "data" / "corpus" / "zh.jsonl.zst")))
    import orjson

    path = tmp_path / "a.jsonl"
    texts = batch.texts[:40]
    path.write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts))
    store = tokenize(path, tokenizer, tmp_path / "out")
    expected = [tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in texts]
    assert ids_of(store) == [expected]
    assert store.vocab_size == 49152
