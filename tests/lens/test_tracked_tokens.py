"""Tokens tracked across layers, against plain PyTorch in float64."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pivotkit.lens.model.head import LensHead
from pivotkit.lens.tracked_tokens import logits_of, tracked_tokens


@pytest.fixture(scope="module")
def heads(llama, gemma2):
    plain = LensHead.from_model(llama)
    biased = dataclasses.replace(plain, bias=torch.randn(len(plain.weight)), logit_scale=0.5)
    return {"plain": plain, "biased": biased, "capped": LensHead.from_model(gemma2)}


def logits64(head, normed):
    z = normed.double() @ head.weight.double().T
    z = head.logit_scale * (z if head.bias is None else z + head.bias.double())
    return z if head.softcap is None else head.softcap * torch.tanh(z / head.softcap)


@pytest.mark.parametrize("name", ["plain", "biased", "capped"])
def test_the_logits_of_a_few_tokens_are_those_of_the_whole(heads, name):
    head, normed = heads[name], torch.randn(5, 4, 32)
    ids = torch.randint(0, len(head.weight), (4, 3))
    truth = logits64(head, normed).gather(-1, ids.expand(5, 4, 3))
    assert torch.allclose(logits_of(head, normed, ids).double(), truth, rtol=1e-5, atol=1e-5)


def test_tracked_tokens_are_the_union_over_layers_by_best_probability():
    ids = np.array([[[5, 1]], [[2, 5]], [[9, 5]]])
    logprobs = np.log([[[0.3, 0.2]], [[0.9, 0.05]], [[0.3, 0.25]]]).astype(np.float32)
    assert tracked_tokens(ids, logprobs, 3).tolist() == [[2, 5, 9]]  # 5 and 9 are equally likely: the smaller id first
    assert tracked_tokens(ids, logprobs, 6).tolist() == [[2, 5, 9, 1, -1, -1]]


def test_a_token_of_the_middle_is_tracked_though_the_last_layer_has_forgotten_it():
    ids, logprobs = np.array([[[7]], [[3]], [[4]]]), np.log([[[0.9]], [[0.8]], [[0.7]]]).astype(np.float32)
    assert 7 in tracked_tokens(ids, logprobs, 2)[0]
