from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pivotkit.training.loop import next_token_loss, pack, train


def _model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=16,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            pad_token_id=0,
        )
    )


def test_packing_keeps_every_token_in_order_but_the_last_few() -> None:
    texts = [[10 * number + digit for digit in range(1, 4)] for number in range(1, 8)]
    rows = pack(texts, length=5, separator=0, seed=3)
    assert rows.shape == (5, 5)
    stream = rows.flatten().tolist()
    seen = [stream[start + 1 : start + 4] for start in range(0, 24, 4)]
    assert stream[::4] == [0] * 7
    assert all(text in texts for text in seen)
    assert len({tuple(text) for text in seen}) == 6


def test_packing_follows_the_seed() -> None:
    texts = [[number] for number in range(1, 40)]
    assert torch.equal(pack(texts, 4, 0, seed=1), pack(texts, 4, 0, seed=1))
    assert not torch.equal(pack(texts, 4, 0, seed=1), pack(texts, 4, 0, seed=2))


@pytest.mark.parametrize("texts", [[], [[1, 2]]])
def test_too_little_text_is_refused(texts: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="pack: texts must fill at least one row"):
        pack(texts, length=5, separator=0)


def test_equal_rows_give_equal_weights() -> None:
    rows = [pack([[number % 15 + 1] * 3 for number in range(60)], 8, 0, seed) for seed in (5, 5, 6)]
    models = [_model() for _ in range(3)]
    losses = [train(model, part, steps=6, batch=4, warmup=2) for model, part in zip(models, rows, strict=True)]
    assert losses[0] == losses[1] != losses[2]
    for one, two in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, two)


def test_training_lowers_the_loss_and_leaves_evaluation_mode() -> None:
    rows = pack([[number % 15 + 1] * 3 for number in range(200)], 8, 0)
    model = _model()
    before = next_token_loss(model, rows).mean().item()
    steps: list[int] = []
    train(model, rows, steps=60, batch=8, learning_rate=1e-2, warmup=5, after_step=steps.append)
    assert next_token_loss(model, rows).mean().item() < 0.75 * before
    assert not model.training
    assert steps == list(range(1, 61))


def test_the_loss_is_that_of_transformers() -> None:
    rows = pack([[1, 2, 3, 4, 5, 6, 7]] * 4, 8, 0)
    model = _model()
    torch.testing.assert_close(next_token_loss(model, rows).mean(), model(rows, labels=rows).loss)


def test_rows_are_taken_in_order_and_then_again() -> None:
    rows = pack([[number % 15 + 1] * 3 for number in range(60)], 8, 0)[:3]
    losses = train(_model(), rows, steps=2, batch=2, learning_rate=1e-9)
    model = _model()
    expected = [next_token_loss(model, rows[places]).mean().item() for places in ([0, 1], [2, 0])]
    assert losses == pytest.approx(expected, rel=1e-5)


def test_given_optimizers_are_stepped_in_place_of_adamw_each_at_its_own_rate() -> None:
    rows = pack([[number % 15 + 1] * 3 for number in range(60)], 8, 0)
    models = [_model() for _ in range(2)]
    train(models[0], rows, steps=5, batch=4, warmup=2, learning_rate=1e-2, weight_decay=0.0)
    weights = list(models[1].parameters())
    halves = [
        torch.optim.AdamW(part, lr=1e-2, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        for part in (weights[:3], weights[3:])
    ]
    train(models[1], rows, steps=5, batch=4, warmup=2, optimizers=halves)
    for one, two in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, two)
    still = _model()
    train(still, rows, steps=2, batch=4, optimizers=[torch.optim.SGD(still.parameters(), lr=0.0)])
    assert all(torch.equal(one, two) for one, two in zip(still.parameters(), _model().parameters(), strict=True))


@pytest.mark.parametrize(("decay", "rates"), [(True, [0.5, 0.75, 0.5, 0.25]), (False, [0.5, 1.0, 1.0, 1.0])])
def test_the_rate_stays_at_its_highest_without_decay(decay: bool, rates: list[float]) -> None:
    rows = pack([[number % 15 + 1] * 3 for number in range(60)], 8, 0)
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    seen: list[float] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append(optimizer.param_groups[0]["lr"]))
    train(model, rows, steps=4, batch=4, warmup=2, optimizers=[optimizer], decay=decay)
    assert seen == pytest.approx(rates)
