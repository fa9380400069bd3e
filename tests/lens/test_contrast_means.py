"""Sums of contrasts over parts of the items: they add up, they are kept whole, and others' are refused."""

from __future__ import annotations

import itertools
import shutil

import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.artifacts import table_metadata
from pivotkit.errors import InputError
from pivotkit.lens.contrast_means import ContrastMeans, contrast_means
from pivotkit.lens.fitted import TunedLens
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.trace import trace
from pivotkit.words.task import build_task

PAIRS = ["fr-en", "zh-en"]


@pytest.fixture(scope="module")
def many(lexicon):
    return build_task(lexicon, PAIRS, limit=11, shots=1, contexts=1, distractors=2)


@pytest.fixture(scope="module")
def whole(llama, many, tokenizer):
    return contrast_means(llama, many, tokenizer)


def same(one, other, rtol=1e-9):
    assert (one.model, one.lens, one.items) == (other.model, other.lens, other.items)
    for pair in one.items:
        torch.testing.assert_close(one.sums[pair], other.sums[pair], rtol=rtol, atol=1e-4 * (rtol > 1e-9))
        torch.testing.assert_close(one.logsumexp[pair], other.logsumexp[pair], rtol=rtol, atol=1e-4 * (rtol > 1e-9))


def test_traces_of_parts_with_the_sums_of_all_are_the_trace_of_all(model, many, tokenizer):
    means = ContrastMeans.merge([contrast_means(model, many.slice(at, 6), tokenizer) for at in range(0, 22, 6)])
    parts = [trace(model, many.slice(at, 4), tokenizer, contrast=means) for at in range(0, 22, 4)]
    at_once = trace(model, many, tokenizer)
    assert {str(table_metadata(part)["contrast"]) for part in parts} == {str(table_metadata(at_once)["contrast"])}
    for one, other in zip(pa.concat_tables(parts).to_pylist(), at_once.to_pylist(), strict=True):
        assert one["contrasts"] == pytest.approx(other["contrasts"], abs=1e-4)
        assert one["top_contrasts"] == pytest.approx(other["top_contrasts"], abs=1e-4)


@given(ends=st.lists(st.integers(1, 21), unique=True, max_size=5).map(sorted), order=st.randoms())
def test_sums_do_not_depend_on_the_parts_or_their_order(ends, order):
    """Numbers of few bits, which float64 adds exactly, so that every order gives the same sum."""
    states = torch.arange(22 * 3 * 4).reshape(3, 22, 4) % 37 - 18.0
    rows = [{"item": at, "pair": PAIRS[at % 2], "prompt": f"{at}", "target": "t"} for at in range(22)]
    rows = [{**row, "group": row["pair"]} for row in rows]
    head = type("Head", (), {"softcap": None})

    def summed(chosen):
        means = ContrastMeans("m", "logit lens", (1.0,))
        means.add(head, [rows[at] for at in chosen], states[:, chosen], states[:, chosen, 0])
        return means

    bounds = [0, *ends, 22]
    parts = [summed(list(range(*pair))) for pair in itertools.pairwise(bounds)]
    order.shuffle(parts)
    same(ContrastMeans.merge(parts), summed(list(range(22))), rtol=0)


def test_the_same_sums_are_the_same_bytes(whole, tmp_path):
    """Sixteen times, since an order that changes comes out right every other time."""
    written = {whole.save(tmp_path / f"{number}.safetensors").read_bytes() for number in range(16)}
    assert len(written) == 1


def test_what_is_saved_is_loaded(whole, tmp_path):
    read = ContrastMeans.load(whole.save(tmp_path / "means.safetensors"))
    same(read, whole, rtol=0)
    assert read.probe == whole.probe
    assert repr(read) == "ContrastMeans(fr-en=11, zh-en=11)"


@pytest.mark.parametrize("at", [3, 0.3, 0.9])
def test_a_damaged_file_is_refused_by_its_name(whole, tmp_path, at):
    path = whole.save(tmp_path / "means.safetensors")
    data = bytearray(path.read_bytes())
    data[int(at if at >= 1 else at * len(data))] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"means\.safetensors: must be"):
        ContrastMeans.load(path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"means\.safetensors: must be a safetensors file"):
        ContrastMeans.load(path)


def test_another_file_of_tensors_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="must be sums of contrast_means; found none"):
        ContrastMeans.load(tmp_path / "other.safetensors")


def test_a_disk_that_is_full_leaves_the_file_as_it_was(whole, tmp_path, monkeypatch):
    path = whole.save(tmp_path / "means.safetensors")
    kept = shutil.copy(path, tmp_path / "kept")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pivotkit.lens.contrast_means.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        whole.save(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["kept", "means.safetensors"]
    assert path.read_bytes() == (tmp_path / "kept").read_bytes(), kept


# ---- refusals


def test_an_item_or_pair_that_is_not_in_the_sums_is_refused(llama, many, tokenizer):
    for part, message in [
        (many.slice(0, 11), "contrast must hold every pair of items; got fr-en, without zh-en"),
        (many.slice(0, 21), "contrast must hold every item of zh-en; got 10, without item 21"),
    ]:
        means = contrast_means(llama, part, tokenizer)
        with pytest.raises(ValueError, match=f"trace: {message}"):
            trace(llama, many, tokenizer, contrast=means)


def test_an_item_of_another_prompt_is_refused(llama, many, lexicon, tokenizer, whole):
    other = build_task(lexicon, PAIRS, limit=11, shots=2, contexts=1, distractors=2)
    with pytest.raises(ValueError, match="trace: contrast must be of the same prompts; got another for item 0"):
        trace(llama, other, tokenizer, contrast=whole)


def test_sums_of_another_model_are_refused(llama, gemma2, many, tokenizer, whole):
    with pytest.raises(ValueError, match="trace: contrast must be of the model that is traced; got sums of another"):
        trace(gemma2, many, tokenizer, contrast=whole)
    with pytest.raises(ValueError, match="merge: parts must be of one model"):
        ContrastMeans.merge([whole, contrast_means(gemma2, many, tokenizer)])


def test_a_model_with_one_changed_part_is_another(make_model):
    from pivotkit.lens.contrast_means import model_digest

    model = make_model("llama")
    head = LensHead.from_model(model)
    before = model_digest(head)
    assert before == model_digest(LensHead.from_model(make_model("llama")))
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight += 0.1
    assert model_digest(head) != before


def test_sums_of_another_lens_are_refused(llama, many, tokenizer, whole):
    """By its name, and where two have one name by what they make of a state."""
    first, second = (
        TunedLens((scale * torch.eye(32),) * 3, (torch.ones(32),) * 3, "one", None) for scale in (1.0, 1.1)
    )
    means = contrast_means(llama, many, tokenizer, lens=first)
    for lens, message in [
        (None, "be of the logit lens; got sums of the tuned lens for one"),
        (second, "be of the same maps; got sums of another tuned lens for one"),
    ]:
        with pytest.raises(ValueError, match=f"trace: contrast must {message}"):
            trace(llama, many, tokenizer, contrast=means, lens=lens)
    with pytest.raises(ValueError, match="merge: parts must be of one lens"):
        ContrastMeans.merge([whole, means])
    assert trace(llama, many, tokenizer, contrast=means, lens=first)["contrasts"].null_count == 0


def test_parts_that_overlap_or_are_none_are_refused(whole):
    with pytest.raises(ValueError, match="merge: parts must hold different items; got item 0 of fr-en twice"):
        ContrastMeans.merge([whole, whole])
    with pytest.raises(ValueError, match="merge: parts must be at least one; got none"):
        ContrastMeans.merge([])
    with pytest.raises(TypeError, match="merge: parts must be a sequence of ContrastMeans; got int"):
        ContrastMeans.merge([3])
