"""States stay on the model's device: what scores, traces and contrasts take from it are results, never states."""

from __future__ import annotations

import functools

import pytest
import torch
from torch.overrides import TorchFunctionMode

from pivotkit.kernels import unembed
from pivotkit.lens import contrast as contrast_module
from pivotkit.lens.contrast_means import contrast_means, with_float64
from pivotkit.lens.model import parts
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.score import score
from pivotkit.lens.trace import trace
from pivotkit.words.task import build_task

WIDTH = 32  # of the models in conftest.py; no other size of a result is this
LEAVES = ("cpu", "numpy", "tolist", "__array__")  # what takes a tensor's numbers to the processor


class Leaving(TorchFunctionMode):
    """Notes the shape of every tensor whose numbers leave the device; on a CPU the same calls are made."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in LEAVES:
            self.shapes.append(tuple(args[0].shape))
        return function(*args, **(kwargs or {}))

    @property
    def states(self):
        return [shape for shape in self.shapes if len(shape) > 1 and shape[-1] == WIDTH]


@pytest.fixture(autouse=True)
def _torch_backend(monkeypatch):
    """The kernel as it is on any device of torch: the CPU's own reads its arguments where they are."""
    for module in (parts, contrast_module):
        monkeypatch.setattr(module, "unembed", functools.partial(unembed, backend="torch"))
    monkeypatch.setattr(LensHead, "screened", property(lambda head: head.packed))


def proved(model):
    """The model's head, whose matrix is packed: on a CPU that looks at its numbers."""
    head = LensHead.from_model(model)
    assert head.packed.weight is head.weight
    return head


@pytest.fixture(scope="module")
def twelve(lexicon):
    return build_task(lexicon, ["fr-en"], limit=12, shots=1, contexts=1, distractors=2)


def test_no_state_leaves_the_device_in_a_score(model, twelve, tokenizer):
    head = proved(model)
    with Leaving() as leaving:
        score(model, twelve, tokenizer, head=head)
    assert leaving.shapes
    assert leaving.states == []


@pytest.mark.parametrize("contrast", [True, False])
def test_no_state_leaves_the_device_in_a_trace(model, twelve, tokenizer, contrast):
    head = proved(model)
    with Leaving() as leaving:
        trace(model, twelve, tokenizer, k=5, head=head, contrast=contrast, positions=["answer", "source"], chains=True)
    assert leaving.shapes
    # Of the states behind the norm only the sum over each batch's items, one row per layer.
    layers = len(head.blocks) + 1
    assert set(leaving.states) == ({(layers, WIDTH)} if contrast and head.softcap is None else set())


def test_sums_of_contrasts_are_taken_where_the_states_are(model, twelve, tokenizer):
    head = proved(model)
    with Leaving() as leaving:
        means = contrast_means(model, twelve, tokenizer, head=head)
    layers = len(head.blocks) + 1
    assert leaving.states  # the sums, and the lens's probe of one state per layer
    assert all(shape == (layers, WIDTH) for shape in leaving.states)
    assert all(values.dtype == torch.float64 for values in means.sums.values())
    with Leaving() as leaving:
        trace(model, twelve, tokenizer, k=5, head=head, contrast=means)
    assert all(shape == (layers, WIDTH) for shape in leaving.states)


def test_float64_is_computed_on_the_device_where_it_has_it():
    for name in ("cuda", "cuda:1", "cpu", "xpu"):
        assert with_float64(torch.device(name)) == torch.device(name)
    assert with_float64(torch.device("mps")) == torch.device("cpu")
