"""Which parts of the last block may run at few positions: proved part by part, never those that others depend on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from pivotkit.lens.model.capture import capture
from pivotkit.lens.model.difference import difference
from pivotkit.lens.model.head import LensHead

IDS = torch.tensor([[3, 7, 1, 9, 12, 4, 22, 8], [8, 8, 2, 30, 4, 1, 17, 9]])


def names_of(head):
    """Names of the parts without queries, which pass or fail with the attention kernel."""
    names = {part: name for name, part in head.blocks[-1].named_modules()}
    return {names[part] for part in head.positionwise if ".q" not in names[part]}


def equals_the_whole(head, positions):
    spared = capture(head, IDS, positions)
    return difference(spared, capture(replace(head, positionwise=()), IDS, positions)) <= 1e-5


@pytest.mark.parametrize(
    ("family_name", "parts"),
    [
        ("llama", {"self_attn.o_proj", "mlp"}),
        ("gpt2", {"attn.c_proj", "mlp"}),
        ("bloom", {"self_attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"}),
        ("opt", {"self_attn.out_proj"}),
        ("gptj", {"attn.out_proj", "mlp"}),
        ("mixtral", {"self_attn.o_proj", "mlp"}),
        ("bert", {"attention.output.dense", "intermediate", "output.dense"}),
    ],
)
def test_outputs_and_feed_forward_parts_are_each_positions_own_matter(make_model, family_name, parts):
    head = LensHead.from_model(make_model(family_name))
    assert names_of(head) == parts
    assert equals_the_whole(head, [(1, 2), (0, 7), (0, 3)])


class Wrapped(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def test_a_part_within_a_wrapper_is_spared_once(make_model):
    model = make_model("llama")
    model.model.layers[-1].mlp = Wrapped(model.model.layers[-1].mlp)
    head = LensHead.from_model(model)
    assert names_of(head) == {"self_attn.o_proj", "mlp"}
    assert equals_the_whole(head, [(1, 2), (0, 7)])


def steer(module, args, output):
    """A hook that changes the last token, as an experiment does."""
    output = output.clone()
    output[:, -1] += 3
    return output


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_part_with_a_hook_runs_whole(make_model, when):
    model = make_model("llama")
    part = model.model.layers[-1].mlp
    if when == "before":
        part.down_proj.register_forward_hook(steer)
    head = LensHead.from_model(model)
    if when == "after":
        part.down_proj.register_forward_hook(steer)
    assert ("mlp" in names_of(head)) is (when == "after")
    assert equals_the_whole(head, [(0, 2), (0, 5), (1, 7)])


def test_a_part_that_does_otherwise_at_the_last_position_runs_whole(make_model):
    model = make_model("llama")
    part = model.model.layers[-1].mlp

    class Steered(type(part)):
        def forward(self, x):
            return steer(self, x, super().forward(x))

    part.__class__ = Steered
    head = LensHead.from_model(model)
    assert part not in head.positionwise
    assert equals_the_whole(head, [(0, 2), (0, 5), (1, 7)])


def test_a_part_that_mixes_positions_runs_whole(make_model):
    model = make_model("llama")
    part = model.model.layers[-1].mlp

    class Mixing(type(part)):
        def forward(self, x):
            return super().forward(x) + x.cumsum(1)

    part.__class__ = Mixing
    found = LensHead.from_model(model).positionwise
    assert part not in found
    assert part.down_proj in found


def test_a_part_runs_whole_where_other_positions_read_its_result_however_little_of_it(make_model):
    model = make_model("llama")
    block = model.model.layers[-1]

    class Reading(type(block)):
        def forward(self, *args, **kwargs):
            states = super().forward(*args, **kwargs)
            return states + 1e-30 * states.cumsum(1)

    block.__class__ = Reading
    assert LensHead.from_model(model).positionwise == ()


def test_a_part_that_runs_twice_runs_whole(make_model):
    model = make_model("llama")
    block = model.model.layers[-1]

    class Twice(type(block)):
        def forward(self, *args, **kwargs):
            states = super().forward(*args, **kwargs)
            return states + self.mlp(states)

    block.__class__ = Twice
    found = set(LensHead.from_model(model).positionwise)
    assert block.self_attn.o_proj in found
    assert not found & set(block.mlp.modules())
