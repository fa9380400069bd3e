"""States stay on the model's device: what scores, traces and contrasts take from it are results, never states."""

from __future__ import annotations

import pytest
import torch
from leaving import Leaving, on_any_device, proved

from pivotkit.lens.contrast_means import contrast_means
from pivotkit.lens.model.parts import with_float64
from pivotkit.lens.score import score
from pivotkit.lens.trace import trace
from pivotkit.words.task import build_task

WIDTH = 32  # of the models in conftest.py; no other size of a result is this


@pytest.fixture(autouse=True)
def _any_device(monkeypatch):
    on_any_device(monkeypatch)


@pytest.fixture(scope="module")
def twelve(lexicon):
    return build_task(lexicon, ["fr-en"], limit=12, shots=1, contexts=1, distractors=2)


def test_no_state_leaves_the_device_in_a_score(model, twelve, tokenizer):
    head = proved(model)
    with Leaving() as leaving:
        score(model, twelve, tokenizer, head=head)
    assert leaving.shapes
    assert leaving.of_width(WIDTH, 2) == []


@pytest.mark.parametrize("contrast", [True, False])
def test_no_state_leaves_the_device_in_a_trace(model, twelve, tokenizer, contrast):
    head = proved(model)
    with Leaving() as leaving:
        trace(model, twelve, tokenizer, k=5, head=head, contrast=contrast, positions=["answer", "source"], chains=True)
    assert leaving.shapes
    # Of the states behind the norm only the sum over each batch's items, one row per layer.
    layers = len(head.blocks) + 1
    assert set(leaving.of_width(WIDTH, 2)) == ({(layers, WIDTH)} if contrast and head.softcap is None else set())


def test_sums_of_contrasts_are_taken_where_the_states_are(model, twelve, tokenizer):
    head = proved(model)
    with Leaving() as leaving:
        means = contrast_means(model, twelve, tokenizer, head=head)
    layers = len(head.blocks) + 1
    assert leaving.of_width(WIDTH, 2)  # the sums, and the lens's probe of one state per layer
    assert all(shape == (layers, WIDTH) for shape in leaving.of_width(WIDTH, 2))
    assert all(values.dtype == torch.float64 for values in means.sums.values())
    with Leaving() as leaving:
        trace(model, twelve, tokenizer, k=5, head=head, contrast=means)
    assert all(shape == (layers, WIDTH) for shape in leaving.of_width(WIDTH, 2))


def test_float64_is_computed_on_the_device_where_it_has_it():
    for name in ("cuda", "cuda:1", "cpu", "xpu"):
        assert with_float64(torch.device(name)) == torch.device(name)
    assert with_float64(torch.device("mps")) == torch.device("cpu")
