"""Tiny random models of every family of causal LMs in transformers, and the table of docs/models.md.

Run this file to try every family anew and write the table; it takes minutes.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from pivotkit.lens.model.head import LensHead

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "models.md"
LIMIT = 30  # seconds per family
MOST = 20_000_000  # parameters of a tiny model

# Fields of configurations that give a size, and its tiny value. Fields of a value None keep it.
SIZES: dict[int, tuple[str, ...]] = {
    60: ("vocab_size",),
    32: ("hidden_size", "d_model", "n_embd", "emb_dim", "embedding_size", "word_embed_proj_dim", "lru_width", "dim_model",
         "attention_hidden_size", "embedding_dim", "mamba_d_ssm", "kv_channels"),
    48: ("intermediate_size", "ffn_dim", "n_inner", "d_ff", "ffn_hidden_size", "encoder_ffn_dim", "decoder_ffn_dim",
         "intermediate_size_mlp", "dff", "d_inner", "dense_intermediate_size", "feed_forward_size", "dim_ff"),
    16: ("moe_intermediate_size", "q_lora_rank", "kv_lora_rank", "shared_expert_intermediate_size", "expert_ffn_hidden_size",
         "shared_intermediate_size", "index_head_dim", "mamba_chunk_size", "chunk_size"),
    3: ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers", "num_blocks"),
    4: ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads", "encoder_attention_heads",
        "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "mamba_n_heads", "num_decoder_attention_heads",
        "num_encoder_attention_heads"),
    2: ("num_key_value_heads", "num_kv_heads", "num_experts_per_tok", "moe_k", "num_experts_per_token", "moe_topk", "index_n_heads"),
    8: ("head_dim", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "mamba_d_head", "mamba_d_state", "rotary_dim",
        "state_size", "mamba_head_dim", "linear_key_head_dim", "linear_value_head_dim"),
    256: ("max_position_embeddings", "n_positions"),
    1: ("n_group", "topk_group", "n_shared_experts", "num_nextn_predict_layers"),
}  # fmt: skip
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 1}

MORE: dict[str, dict[str, Any]] = {}


def tiny_values(config_class: type[PreTrainedConfig], default: PreTrainedConfig | None = None) -> dict[str, Any]:
    """Tiny values for the fields that a configuration has."""
    default = config_class() if default is None else default
    values: dict[str, Any] = {}
    for size, names in SIZES.items():
        for name in (*names, *(key for key, field in default.attribute_map.items() if field in names)):
            field = default.attribute_map.get(name, name)
            if isinstance(getattr(default, field, None), int) and not isinstance(getattr(default, field), bool):
                values[field] = size
    for name in default.sub_configs:
        sub = getattr(default, name, None)
        if isinstance(sub, PreTrainedConfig):
            values[name] = tiny_values(type(sub), sub)
    values |= {name: value for name, value in SPECIAL.items() if hasattr(default, name)}
    values["initializer_range"] = 0.2
    return values


def tiny(model_type: str) -> Any:
    """A tiny random model of a family, in evaluation mode."""
    config_class = CONFIG_MAPPING[model_type]
    values = {**tiny_values(config_class), **MORE.get(model_type, {})}
    config = config_class(**values)
    model_class = getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type])
    if getattr(config, "is_decoder", None) is False:
        config.is_decoder = True
    torch.manual_seed(1)
    with torch.device("meta"):
        count = sum(weight.numel() for weight in model_class(config).parameters())
    if count > MOST:
        raise ValueError(f"tiny: a tiny model must have at most {MOST:,} parameters; got {count:,}")
    return model_class(config).eval()


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TimeoutError(f"takes longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(model_type: str) -> tuple[str, str]:
    """("described" | "refused" | "not built", what of it)."""
    try:
        with within(LIMIT):
            model = tiny(model_type)
            with torch.inference_mode():
                model(input_ids=torch.tensor([[5, 6, 7]]))
    except Exception as error:
        return "not built", f"{type(error).__name__}: {error}"
    try:
        with within(LIMIT):
            head = LensHead.from_model(model)
    except ValueError as error:
        return "refused", str(error).removeprefix("LensHead: ")
    except Exception as error:
        return "FAILED", f"{type(error).__name__}: {error}"
    return (
        "described",
        f"{type(head.base).__name__} {len(head.blocks)} {head.shares_prefix} {head.pads_left} {head.error:.1e}",
    )


if __name__ == "__main__":
    import time

    torch.set_num_threads(1)
    for model_type in sys.argv[1:] or MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        begin = time.process_time()
        kind, text = outcome(model_type)
        print(
            model_type, kind, f"{time.process_time() - begin:.1f}", " ".join(text.split())[:260], sep="\t", flush=True
        )
