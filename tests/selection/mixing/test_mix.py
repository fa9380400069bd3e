"""Mixtures: read back as the documents of their parts, by weight in every beginning, and the same after a stop."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_writes import killed
from token_formats import made_store, write_datatrove, write_megatron, write_olmo
from tokenizers import Tokenizer, models, pre_tokenizers

from pivotkit.artifacts import file_digest, read_json, read_table
from pivotkit.corpus import TokenFiles
from pivotkit.errors import CorpusError
from pivotkit.selection import mix, write_selection

EOS = 999


def documents_of(out, manifest):
    options = {"eos": EOS, "dtype": manifest["dtype"]} if manifest["format"] == "olmo" else {}
    files = TokenFiles(out, manifest["vocab_size"], format=manifest["format"], **options)
    return [ids.tolist() for unit in files.work_units() for ids in files.documents(unit)]


def part(folder, name, count, first, seed):
    """Token files of ``count`` documents, whose first ids, from ``first`` on, tell them apart."""
    random = np.random.default_rng(seed)
    texts = [[first + place, *random.integers(0, 9, random.integers(0, 12)).tolist(), EOS] for place in range(count)]
    (folder / name).mkdir()
    half = count // 2
    write_olmo(folder / name / "0.npy", texts[:half])
    write_olmo(folder / name / "1.npy", texts[half:])
    return TokenFiles(folder / name, vocab_size=1000, eos=EOS), texts


@pytest.fixture
def parts(tmp_path):
    """Three parts: the files and the documents of each."""
    return {name: part(tmp_path, name, 150, first, first) for name, first in (("a", 100), ("b", 300), ("c", 500))}


def files_of(parts):
    return {name: files for name, (files, _) in parts.items()}


def owner(document):
    return "abc"[(document[0] - 100) // 200]


@pytest.fixture
def small_pools(monkeypatch):
    """Several stretches and pools in a small file."""
    monkeypatch.setattr("pivotkit.selection.mixing.part_source.UNIT_BYTES", 400)
    monkeypatch.setattr("pivotkit.selection.mixing.part_source.BLOCK_TOKENS", 60)
    monkeypatch.setattr("pivotkit.selection.mixing.part_stream.POOL_TOKENS", 100)


@pytest.mark.usefixtures("small_pools")
@pytest.mark.parametrize("format", ["olmo", "megatron", "datatrove"])
def test_every_beginning_holds_each_part_by_its_weight(parts, tmp_path, format):
    weights = {"a": 5, "b": 3, "c": 2}
    manifest = mix(files_of(parts), weights, 1200, tmp_path / "out", format=format, shard_tokens=100)
    read = documents_of(tmp_path / "out", manifest)
    whole = {name: [*map(tuple, texts)] for name, (_, texts) in parts.items()}
    longest, total, written = 13, 0, Counter()
    for document in read:
        name = owner(document)
        assert tuple(document) in whole[name]
        written[name] += len(document)
        total += len(document)
        assert all(abs(written[one] - weight / 10 * total) <= longest for one, weight in weights.items())
    assert len({tuple(document) for document in read}) == len(read)  # no document twice
    assert 1200 <= total < 1200 + longest
    assert manifest["selected"]["tokens"] == total
    assert {name: told["tokens"] for name, told in manifest["parts"].items()} == dict(written)
    assert [told["documents"] for told in manifest["parts"].values()] == [
        sum(owner(document) == name for document in read) for name in "abc"
    ]


@pytest.mark.usefixtures("small_pools")
def test_a_row_of_provenance_leads_to_the_document_and_back(parts, tmp_path):
    manifest = mix(files_of(parts), {"a": 1, "b": 1, "c": 1}, 900, tmp_path / "out", shard_tokens=200)
    for row in read_table(tmp_path / "out" / "provenance.parquet").to_pylist():
        written = np.fromfile(tmp_path / "out" / row["shard"], manifest["dtype"])[row["first"] :][: row["length"]]
        source = np.fromfile(tmp_path / row["part"] / row["file"], "<u2")[row["at"] :][: row["length"]]
        assert written.tolist() == source.tolist()
        assert row["epoch"] == 0
    files = {str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert set(manifest["files"]) == set(files) - {"manifest.json"}
    assert all(about["sha256"] == file_digest(files[name]) for name, about in manifest["files"].items())
    assert read_json(files["manifest.json"]) == manifest


@pytest.mark.usefixtures("small_pools")
def test_the_order_is_random_by_the_seed_and_the_same_again(parts, tmp_path):
    def order(name, **options):
        manifest = mix(files_of(parts), {"a": 1, "b": 1, "c": 1}, 900, tmp_path / name, **options)
        return documents_of(tmp_path / name, manifest)

    one = order("one")
    assert order("again") == one
    assert order("shards", shard_tokens=100) == one
    other = order("other", seed=1)
    assert other != one
    firsts = [document[0] for document in one if owner(document) == "a"]
    assert firsts != sorted(firsts)


@pytest.mark.usefixtures("small_pools")
def test_a_small_part_comes_again_only_where_that_is_asked_for(parts, tmp_path):
    weights = {"a": 8, "b": 1, "c": 1}
    size = sum(map(len, parts["a"][1]))
    with pytest.raises(
        ValueError, match=rf"mix: each of parts must hold .* part 'a' has {size} tokens of 2400 \(max_ep"
    ):
        mix(files_of(parts), weights, 3000, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))
    manifest = mix(files_of(parts), weights, 3000, tmp_path / "out", max_epochs=5)
    read = [tuple(document) for document in documents_of(tmp_path / "out", manifest) if owner(document) == "a"]
    counts = Counter(read)
    assert set(counts) == set(map(tuple, parts["a"][1]))
    assert max(counts.values()) - min(counts.values()) <= 1
    assert manifest["parts"]["a"]["epochs"] == max(counts.values())
    assert manifest["parts"]["b"]["epochs"] == 1
    half = len(counts)
    assert read[:half] != read[half : 2 * half]  # each epoch has an order of its own


@pytest.mark.usefixtures("small_pools")
@pytest.mark.parametrize("length", [1, 7, 40])
def test_instances_are_of_one_part_each_and_in_turns(parts, tmp_path, length):
    weights = {"a": 2, "b": 1, "c": 1}
    manifest = mix(files_of(parts), weights, 1000, tmp_path / "out", instance_tokens=length, shard_tokens=100)
    shards = [np.fromfile(tmp_path / "out" / shard["file"], "<u2") for shard in manifest["selected"]["shards"]]
    assert all(len(shard) % length == 0 for shard in shards)
    flat = np.concatenate(shards)
    assert 1000 <= len(flat) < 1000 + length
    begins = np.cumsum([0, *(len(shard) for shard in shards)])
    names = {
        shard["file"]: int(begin) for shard, begin in zip(manifest["selected"]["shards"], begins[:-1], strict=True)
    }
    of_part = np.empty(len(flat), "U1")
    for row in read_table(tmp_path / "out" / "provenance.parquet").to_pylist():
        begin = names[row["shard"]] + row["first"]
        source = np.fromfile(tmp_path / row["part"] / row["file"], "<u2")[row["at"] + row["offset"] :][: row["length"]]
        assert flat[begin : begin + row["length"]].tolist() == source.tolist()
        of_part[begin : begin + row["length"]] = row["part"]
    instances = of_part.reshape(-1, length)
    assert all(len(set(instance)) == 1 for instance in instances.tolist())
    for count in range(1, len(instances) + 1):
        for name, weight in weights.items():
            assert abs((instances[:count, 0] == name).sum() - weight / 4 * count) <= 1


def test_all_kinds_of_parts_are_mixed(tmp_path):
    texts = {"store": [[1, 2], [3]], "megatron": [[4, 5, 6]], "datatrove": [[7], [8, 1]]}
    store = made_store(tmp_path, texts["store"], vocab_size=10)
    rows = pa.table({"unit": [store.units[0].name] * 2, "row": [0, 1], "id": ["u0:0", "u0:1"]})
    write_selection(rows, store, tmp_path / "written", eos=9)
    write_megatron(tmp_path / "a.bin", [[text] for text in texts["megatron"]])
    write_datatrove(tmp_path / "a.ds", texts["datatrove"])
    core = Tokenizer(models.WordLevel({"un": 0, "deux": 1}, "un"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    (tmp_path / "a.txt").write_text("un deux\ndeux\n")
    parts = {
        "written": tmp_path / "written",
        "megatron": TokenFiles(tmp_path / "a.bin", 10, format="megatron"),
        "datatrove": TokenFiles(tmp_path / "a.ds", 10, format="datatrove"),
    }
    manifest = mix(parts, dict.fromkeys(parts, 1), 15, tmp_path / "out", eos=9, max_epochs=3)
    files = TokenFiles(tmp_path / "out", 10, eos=9)
    read = {tuple(ids.tolist()) for unit in files.work_units() for ids in files.documents(unit)}
    assert read == {(*text, 9) for some in texts.values() for text in some}
    manifest = mix({"store": store}, {"store": 1}, 3, tmp_path / "out", format="megatron")
    assert (manifest["selected"]["tokens"], manifest["selected"]["eos_added"]) == (3, 0)
    manifest = mix({"text": tmp_path / "a.txt"}, {"text": 1}, 3, tmp_path / "out", format="datatrove", tokenizer=core)
    ids = np.fromfile(tmp_path / "out" / "part-00000.ds", manifest["dtype"]).tolist()
    assert ids in ([0, 1, 1], [1, 0, 1])
    with pytest.raises(
        ValueError, match="mix: part 'text' must hold its weight of the budget, or max_epochs be larger"
    ):
        mix({"text": tmp_path / "a.txt"}, {"text": 1}, 4, tmp_path / "out", format="datatrove", tokenizer=core)


class TestRefusals:
    @pytest.mark.parametrize(
        ("weights", "error"),
        [
            ({"a": 1}, "mix: weights must be of each of parts, one at least; got parts a, b, weights of a"),
            ({"a": 1, "b": 0}, "mix: weights must be at least"),
            ({"a": 1, "b": -1}, "mix: weights must be at least"),
            ({"a": 1, "b": float("nan")}, "mix: weights must be finite; got nan"),
            ({"a": 1, "b": 1e-12}, "mix: weights must be at least a billionth of their sum; got 1e-12"),
        ],
    )
    def test_each_part_has_a_weight(self, tmp_path, weights, error):
        files = TokenFiles(write_olmo(tmp_path / "a.npy", [[1, EOS]]), vocab_size=1000, eos=EOS)
        with pytest.raises(ValueError, match=error):
            mix({"a": files, "b": files}, weights, 3, tmp_path / "out")

    def test_parts_are_of_one_tokenizer_and_one_end(self, tmp_path):
        path = write_olmo(tmp_path / "a.npy", [[1, EOS]])
        one, other = (
            TokenFiles(path, vocab_size=1000, eos=eos, tokenizer=name) for eos, name in ((EOS, "x"), (7, "y"))
        )
        with pytest.raises(ValueError, match="mix: parts must have one eos; got 999 of 'a', 7 of 'b'"):
            mix({"a": one, "b": other}, {"a": 1, "b": 1}, 3, tmp_path / "out")
        other = TokenFiles(path, vocab_size=1000, eos=EOS, tokenizer="y")
        with pytest.raises(ValueError, match="mix: parts must have one tokenizer; got x of 'a', y of 'b'"):
            mix({"a": one, "b": other}, {"a": 1, "b": 1}, 3, tmp_path / "out")

    def test_text_needs_a_tokenizer(self, tmp_path):
        (tmp_path / "a.txt").write_text("text\n")
        with pytest.raises(ValueError, match="mix: tokenizer must be given for text, as part 'a' is; got None"):
            mix({"a": tmp_path / "a.txt"}, {"a": 1}, 3, tmp_path / "out", eos=1)

    def test_a_file_that_changes_while_it_is_read_is_named(self, parts, tmp_path, monkeypatch):
        blocks = TokenFiles.blocks

        def changing(self, unit, **options):
            yield from blocks(self, unit, **options)
            with unit.path.open("ab") as file:
                file.write(b"\1\0")

        monkeypatch.setattr(TokenFiles, "blocks", changing)
        with pytest.raises(CorpusError, match=r"\.npy: must stay as it was when the run began"):
            mix(files_of(parts), {"a": 1, "b": 1, "c": 1}, 900, tmp_path / "out")


def test_a_plan_writes_nothing(parts, tmp_path):
    before = sorted(tmp_path.iterdir())
    found = mix(files_of(parts), {"a": 2, "b": 1, "c": 1}, 1000, tmp_path / "out", dry_run=True)
    assert sorted(tmp_path.iterdir()) == before
    assert found["bytes"] == 2000
    for name, tokens in (("a", 500), ("b", 250)):
        size = sum(map(len, parts[name][1]))
        told = found["parts"][name]
        assert (told["tokens"], told["available"], told["epochs"]) == (tokens, size, tokens / size)


@pytest.mark.parametrize("options", [{}, {"instance_tokens": 16}, {"format": "datatrove"}])
def test_a_mixture_that_is_killed_at_any_moment_goes_on_to_the_same_bytes(tmp_path, options):
    for name, first in (("a", 100), ("b", 300)):
        part(tmp_path, name, 150, first, first)
    parts = {name: {"files": str(tmp_path / name), "vocab_size": 1000, "eos": EOS} for name in "ab"}
    arguments = {"parts": parts, "weights": {"a": 2, "b": 1}, "budget_tokens": 1500, "shard_tokens": 300,
                 "max_epochs": 2, **options}  # fmt: skip
    found = killed("mix", tmp_path / "out", arguments)
    assert found["broken"] == found["different"] == []
    assert found["killed"] >= 20
    assert found["resumed"] > 3


@settings(max_examples=25)
@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 3), st.sampled_from([None, 3, 8]))
def test_the_bytes_do_not_depend_on_shards(tmp_path_factory, shard, weight, seed, length):
    folder = tmp_path_factory.mktemp("mix")
    parts = {name: part(folder, name, 30, first, first) for name, first in (("a", 100), ("b", 300))}
    written = []
    for name, tokens in (("one", 1 << 20), ("many", shard)):
        manifest = mix(
            files_of(parts), {"a": weight, "b": 2}, 150, folder / name, shard_tokens=tokens, seed=seed, max_epochs=9,
            instance_tokens=length,
        )  # fmt: skip
        files = [folder / name / told["file"] for told in manifest["selected"]["shards"]]
        written.append(np.concatenate([np.fromfile(file, manifest["dtype"]) for file in files]).tolist())
    assert written[0] == written[1]
