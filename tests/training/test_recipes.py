"""The recipes of examples/ are read, and train a random model of their family at small width."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest
import torch
import yaml
from small_training import read_items
from transformers import (
    AutoTokenizer,
    Olmo2Config,
    Olmo2ForCausalLM,
    OlmoConfig,
    OlmoForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

import pivotkit as pk

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "pretrain"
FAMILIES = {
    "olmo-1b": (OlmoForCausalLM, OlmoConfig),
    "olmo2-1b": (Olmo2ForCausalLM, Olmo2Config),
    "qwen2.5-0.5b": (Qwen2ForCausalLM, Qwen2Config),
    "qwen3-1.7b-lora": (Qwen3ForCausalLM, Qwen3Config),
}


def test_every_recipe_is_tried():
    assert sorted(path.stem for path in EXAMPLES.glob("*.yaml")) == sorted(FAMILIES)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", FAMILIES)
def test_a_recipe_trains_a_random_model_of_its_family(given, tmp_path, name, monkeypatch):
    recipe = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text("utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(given / "model")
    end = tokenizer.eos_token_id
    model, config = FAMILIES[name]
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    small = config(
        vocab_size=len(tokenizer), num_key_value_heads=2, bos_token_id=end, eos_token_id=end, pad_token_id=end,
        initializer_range=0.1, **sizes, **({"head_dim": 16} if name.startswith("qwen3") else {}),
    )  # fmt: skip
    model(small).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    # Beside a Qwen model transformers loads Qwen's tokenizer whatever was saved, and that cannot read the world's words.
    monkeypatch.setattr("pivotkit.training.pretrain.load_tokenizer", lambda _: tokenizer)
    micro = recipe["micro_batch"]
    small_recipe = {**recipe, "length": 32, "batch": 2 * micro, "learning_rate": 1e-2, "warmup": 1}
    table = pk.pretrain(
        tmp_path / "model", {"one": given / "one"}, read_items(given), tokens=2560, out=tmp_path / "out", seeds=[0],
        recipe=small_recipe, held_out={"world": given / "two"},
    )  # fmt: skip
    log = (tmp_path / "out" / "one" / "seed-0" / "log.jsonl").read_bytes().splitlines()
    assert len(log) == 2560 // 32 // (2 * micro)
    before, after = table.filter(pc.equal(table["measure"], "held-out loss"))["value"].to_pylist()
    assert after < before - 0.2
