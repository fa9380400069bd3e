"""The loss on held-out text is that of the model's own logits."""

from __future__ import annotations

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from pivotkit.artifacts import read_json
from pivotkit.run_folder import RunFolder
from pivotkit.training.loop import next_token_loss
from pivotkit.training.measures import Measures, _Stages

SIZES = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16,
}  # fmt: skip


@pytest.mark.parametrize("kind", [(LlamaConfig, LlamaForCausalLM), (Gemma2Config, Gemma2ForCausalLM)])
def test_held_out_loss_is_the_mean_over_all_tokens_but_the_first_of_each_row(kind, tmp_path):
    torch.manual_seed(0)
    model = kind[1](kind[0](**SIZES)).eval()
    rows = torch.randint(300, (11, 20))
    with RunFolder(tmp_path / "run") as run:
        _Stages(Measures(items=None, tokenizer=None, held_out={"en": rows}), model, run).held_out()
        found = read_json(run / "held_out.json")["en"]
    with torch.inference_mode():
        assert found == {"loss": pytest.approx(float(next_token_loss(model, rows).mean()), abs=1e-5), "tokens": 11 * 19}
