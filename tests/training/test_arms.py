"""What an arm may be, and what of its files is refused, by the file's name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import orjson
import pytest
from transformers import AutoTokenizer

import pivotkit as pk
from pivotkit.corpus import TokenFiles
from pivotkit.errors import CorpusError, InputError
from pivotkit.training.arms import open_documents


@pytest.fixture
def arm(given: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(given / "one", tmp_path / "one"))


@pytest.fixture(scope="module")
def tokenizer(given):
    return AutoTokenizer.from_pretrained(given / "model")


def opened(arm, tokenizer):
    return open_documents("pretrain", "arms", "one", arm, tokenizer, len(tokenizer))


def test_equal_files_have_equal_digests_wherever_they_lie(given, arm, tokenizer):
    assert opened(arm, tokenizer).digest == opened(given / "one", tokenizer).digest
    assert opened(arm, tokenizer).digest != opened(given / "two", tokenizer).digest


def test_equal_bytes_of_other_ids_have_another_digest(tmp_path, tokenizer):
    np.array([1, 0, 2, 0, 1, 0], "<u2").tofile(tmp_path / "a.npy")
    narrow, wide = (
        opened(TokenFiles(tmp_path / "a.npy", vocab_size=len(tokenizer), dtype=dtype, eos=0), tokenizer)
        for dtype in ("uint16", "uint32")
    )
    assert (narrow.tokens, wide.tokens) == (6, 3 + 1)  # one document without an end
    assert narrow.digest != wide.digest


def test_a_shard_with_other_bytes_is_refused_by_name(arm, tokenizer):
    shard = sorted(arm.glob("*.npy"))[1]
    ids = np.fromfile(shard, "<u2")
    ids[0] = 5 if ids[0] != 5 else 6
    ids.tofile(shard)
    with pytest.raises(CorpusError, match=f"{shard.name}: must hold the bytes that manifest.json tells of; got others"):
        opened(arm, tokenizer)


def test_a_shard_that_is_gone_is_refused_by_name(arm, tokenizer):
    shard = sorted(arm.glob("*.npy"))[1]
    shard.unlink()
    with pytest.raises(CorpusError, match=f"{shard.name}: must be there, as manifest.json says; found none"):
        opened(arm, tokenizer)


def test_a_file_that_changes_while_it_is_read_is_refused_by_name(arm, tokenizer):
    documents = opened(arm, tokenizer)
    documents.check()
    shard = sorted(arm.glob("*.npy"))[1]
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(CorpusError, match=f"{shard.name}: must stay as it was when the run began"):
        documents.check()


def test_a_selection_of_text_or_of_another_tokenizer_is_refused(arm, tokenizer, tmp_path):
    manifest = orjson.loads((arm / "manifest.json").read_bytes())
    (arm / "manifest.json").write_bytes(orjson.dumps({**manifest, "tokenizer": "0" * 64}))
    with pytest.raises(InputError, match=r"must be of the model's tokenizer; got ids of another"):
        opened(arm, tokenizer)
    (arm / "manifest.json").write_bytes(orjson.dumps({"selected": {"lines": 3}}))
    with pytest.raises(InputError, match=r"must tell of a selection as tokens .*; got one as text"):
        opened(arm, tokenizer)
    with pytest.raises(InputError, match=r"must be a folder that write_selection wrote as tokens; found no manifest"):
        opened(tmp_path, tokenizer)


def test_ids_that_the_model_does_not_have_are_refused(tmp_path, tokenizer):
    vocab = len(tokenizer)
    with pytest.raises(ValueError, match=f"arms must hold ids below {vocab}; got {vocab + 5} in 'one'"):
        opened([[1, vocab + 5]], tokenizer)
    np.array([1, vocab + 5, 0], "<u2").tofile(tmp_path / "a.npy")
    files = pk.TokenFiles(tmp_path / "a.npy", vocab_size=vocab + 10, eos=0)
    with pytest.raises(
        CorpusError, match=f"a.npy, token 1: must be an id of the model, below {vocab}; got {vocab + 5}"
    ):
        opened(files, tokenizer)
    with pytest.raises(TypeError, match="arms must hold texts or 1-D integers"):
        opened([[0.5]], tokenizer)


def test_ids_of_another_tokenizer_are_refused(given, tmp_path, tokenizer):
    (tmp_path / "corpus.jsonl").write_text('{"id": "1", "text": "a1 b2"}\n')
    other = AutoTokenizer.from_pretrained(given / "model")
    other.add_tokens(["else"])
    store = pk.tokenize(tmp_path / "corpus.jsonl", other, tmp_path / "store")
    files = pk.TokenFiles(given / "one-pool.npy", len(tokenizer), eos=0, tokenizer=store.tokenizer)
    for arm in (store, files):
        with pytest.raises(
            ValueError, match="arms must hold ids of the model's tokenizer; got those of another in 'one"
        ):
            opened(arm, tokenizer)
    own = pk.tokenize(tmp_path / "corpus.jsonl", tokenizer, tmp_path / "own")
    named = pk.TokenFiles(given / "one-pool.npy", len(tokenizer), eos=0, tokenizer="a name")
    assert opened(own, tokenizer).tokens == 3
    assert opened(named, tokenizer).tokens
