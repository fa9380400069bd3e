"""Tiny random models of every family of causal LMs in transformers, and the table of docs/models.md.

Run this file to try every family anew and write the table; it takes minutes.
"""

from __future__ import annotations

import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.observe import takes_argument

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "models.md"
LIMIT = 30  # seconds per family
MOST = 50_000_000  # parameters of a tiny model

# Fields of configurations that give a size, and its tiny value. Fields of a value None keep it.
SIZES: dict[int, tuple[str, ...]] = {
    60: ("vocab_size",),
    32: ("hidden_size", "d_model", "n_embd", "emb_dim", "embedding_size", "word_embed_proj_dim", "lru_width",
         "dim_model", "attention_hidden_size", "embedding_dim", "mamba_d_ssm", "kv_channels"),
    48: ("intermediate_size", "ffn_dim", "n_inner", "d_ff", "ffn_hidden_size", "encoder_ffn_dim", "decoder_ffn_dim",
         "intermediate_size_mlp", "dff", "d_inner", "dense_intermediate_size", "feed_forward_size", "dim_ff"),
    16: ("moe_intermediate_size", "q_lora_rank", "kv_lora_rank", "shared_expert_intermediate_size",
         "expert_ffn_hidden_size", "shared_intermediate_size", "index_head_dim", "mamba_chunk_size", "chunk_size"),
    3: ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers", "num_blocks"),
    4: ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads", "encoder_attention_heads",
        "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "mamba_n_heads",
        "num_decoder_attention_heads", "num_encoder_attention_heads"),
    2: ("num_key_value_heads", "num_kv_heads", "num_experts_per_tok", "moe_k", "num_experts_per_token", "moe_topk",
        "index_n_heads"),
    8: ("head_dim", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "mamba_d_head", "mamba_d_state", "rotary_dim",
        "state_size", "mamba_head_dim", "linear_key_head_dim", "linear_value_head_dim"),
    256: ("max_position_embeddings", "n_positions"),
    1: ("n_group", "topk_group", "n_shared_experts", "num_nextn_predict_layers"),
}  # fmt: skip
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 1}

# Latent attention has as many heads of keys, and sizes of its own.
LATENT = {"num_key_value_heads": 4, "head_dim": None}
ROPE = {"rope_type": "default", "rope_theta": 1e4}
GEMMA4 = {
    "num_kv_shared_layers": 0,
    "vocab_size_per_layer_input": 60,
    "global_head_dim": 8,
    "hidden_size_per_layer_input": 8,
}
LINEAR = ["linear_attention", "full_attention", "linear_attention"]
QWEN4 = {
    "layer_types": LINEAR,
    "indexer_budget": 8,
    "indexer_compress_ratio": 2,
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
}


def each(names: tuple[str, ...], values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict.fromkeys(names, values)


# What else a family needs; a field of value None is left to its default.
MORE: dict[str, dict[str, Any]] = {
    **each(("axk1", "axk2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite"), LATENT),
    **each(("glm_moe_dsa", "minicpm3", "youtu"), LATENT),
    **each(("hunyuan_v1_dense", "hunyuan_v1_moe", "ministral"), {"head_dim": 8}),
    **each(("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"), {"layer_types": LINEAR}),
    **each(("qwen3_5", "qwen3_5_moe"), {"text_config": {"layer_types": LINEAR}}),
    **each(("kimi_linear", "bailing_hybrid"), {**LATENT, "layer_types": LINEAR}),
    "deepseek_v2": {**LATENT, "num_experts_per_tok": 2},
    "longcat_flash": {"num_key_value_heads": 4, "head_dim": 8, "num_hidden_layers": 6},
    "blt": {"encoder_hash_byte_group_vocab": 60},
    "cohere_compass_text": {"rope_parameters": {"full_attention": ROPE, "sliding_attention": ROPE}},
    "dots3_note_text": {"num_key_value_heads": 4},
    "dots3_note": {"text_config": {"num_key_value_heads": 4}},
    "qwen4_exp_text": QWEN4,
    "qwen4_exp": {"text_config": QWEN4},
    "zamba": {"num_hidden_layers": None, "attention_hidden_size": None},
    "dbrx": {"attn_config": {"rope_theta": 1e4, "clip_qkv": 8.0}},
    "bamba": {"mamba_n_heads": 8, "attn_layer_indices": [1]},
    "granitemoehybrid": {"mamba_n_heads": 8, "layer_types": ["mamba", "attention", "mamba"]},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "falcon": {"head_dim": None},
    "gpt_neo": {"attention_types": [[["global", "local", "global"], 1]]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv"]},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "prophetnet": {"num_hidden_layers": None, "num_encoder_layers": 3, "num_decoder_layers": 3},
    "xlnet": {"max_position_embeddings": None},
    "xlstm": {"v_head_dim": None, "qk_dim_factor": 1.0},
    "xmod": {"default_language": "en_XX"},
    "zaya": {"num_experts_per_tok": 1},
    "reformer": {"axial_pos_embds_dim": [8, 24], "axial_pos_shape": [16, 16], "is_decoder": True},
    "zamba2": {"num_hidden_layers": None, "attention_hidden_size": None},
    "gemma3n_text": {"num_kv_shared_layers": 0, "vocab_size_per_layer_input": 60},
    **each(("gemma4_text", "gemma4_unified_text"), GEMMA4),
    **each(("gemma4", "gemma4_unified"), {"text_config": GEMMA4}),
}  # fmt: skip


# Why no tiny model of a type is made here; ``{error}`` is the error that trying raises.
NOT_BUILT = {
    "blt": "a second model cuts its input into patches of bytes",
    "dots3_note": "its layers have configurations of their own, by number ({error} in fewer layers)",
    "gemma3n": "its vision tower needs the packages timm and pillow",
    "gemma4_assistant": "it reads the cache of another model",
    "gemma4_unified_assistant": "it reads the cache of another model",
    "musicgen": "its input has several codebooks, not one token per position",
    "musicgen_melody": "its input has several codebooks, not one token per position",
}


def is_size(config: PreTrainedConfig, field: str) -> bool:
    try:
        return type(getattr(config, field, None)) is int
    except Exception:  # transformers refuses to read a field that single layers may have otherwise
        return True


def tiny_values(config_class: type[PreTrainedConfig], default: PreTrainedConfig | None = None) -> dict[str, Any]:
    """Tiny values for the fields that a configuration has."""
    default = config_class() if default is None else default
    values: dict[str, Any] = {}
    for size, names in SIZES.items():
        for name in (*names, *(key for key, field in default.attribute_map.items() if field in names)):
            field = default.attribute_map.get(name, name)
            if is_size(default, field):
                values[field] = size
    for name in default.sub_configs:
        sub = getattr(default, name, None)
        if isinstance(sub, PreTrainedConfig):
            values[name] = tiny_values(type(sub), sub)
    values |= {name: value for name, value in SPECIAL.items() if name in default.to_dict()}
    values["initializer_range"] = 0.2
    return values


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """``values`` changed by ``more``, in inner configurations too, without the fields of value None."""
    both = {**values, **more}
    for name, value in both.items():
        if isinstance(value, dict) and isinstance(values.get(name), dict):
            both[name] = merged(values[name], more.get(name, {}))
    return {name: value for name, value in both.items() if value is not None}


def tiny(model_type: str) -> Any:
    """A tiny random model of a family, in evaluation mode."""
    config_class = CONFIG_MAPPING[model_type]
    config = config_class(**merged(tiny_values(config_class), MORE.get(model_type, {})))
    model_class = getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type])
    if not isinstance(config, model_class.config_class):
        # AutoModelForCausalLM takes the text's part of a configuration.
        config = getattr(config, "decoder", None) or config.get_text_config()
    if getattr(config, "is_decoder", None) is False:
        config.is_decoder = True
    torch.manual_seed(1)
    with torch.device("meta"):
        count = sum(weight.numel() for weight in model_class(config).parameters())
    if count > MOST:
        raise ValueError(f"tiny: a tiny model must have at most {MOST:,} parameters; got {count:,}")
    model = model_class(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Parameters of zeros or ones would hide a missing bias or a norm's (1 + w); empty memory would be anything.
            if weight.ndim > 1:
                weight.normal_(std=0.2)
            elif not any(part in name for part in ("mamba", "rg_lru", "A_log", "dt_bias", "norm.weight")):
                weight.normal_(std=0.3)
    return model


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Stop what takes longer with a TimeoutError."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"takes longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def found(model_type: str) -> tuple[str, ...]:
    """The row of a family: type, class, what `LensHead` makes of a tiny model, and what it proves or why not."""
    begin = model_type, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]
    try:
        with within(LIMIT):
            model = tiny(model_type)
            quick = {"use_cache": False} if takes_argument(model, "use_cache") else {}
            with torch.inference_mode():
                model(input_ids=torch.tensor([[5, 6, 7]]), **quick)
    except Exception as error:
        if model_type not in NOT_BUILT:
            raise
        return *begin, "not built", NOT_BUILT[model_type].format(error=type(error).__name__), "", ""
    try:
        with within(LIMIT):
            head = LensHead.from_model(model)
    except ValueError as error:
        rule = re.split(r"[;,] (got|found)", str(error).removeprefix("LensHead: "))[0]
        return *begin, "refused", rule.replace(f" of {type(model).__name__}", ""), "", ""
    return (
        *begin,
        "described",
        type(head.base).__name__,
        *("yes" if each else "no" for each in (head.shares_prefix, head.pads_left)),
    )


def table(rows: list[tuple[str, ...]]) -> str:
    columns = ("model type", "class", "result", "base model, or reason", "prefix shared", "padding left")
    return "\n".join("| " + " | ".join(row) + " |" for row in [columns, ("---",) * len(columns), *rows])


def documented() -> list[tuple[str, ...]]:
    """The rows of docs/models.md."""
    lines = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| ")][2:]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def document(rows: list[tuple[str, ...]]) -> str:
    counts = Counter(row[2] for row in rows)
    return f"""# Models

pivotkit reads every causal LM whose head it can describe and prove. This table has a row for each of the {len(rows)}
model types of `AutoModelForCausalLM` in transformers {transformers.__version__}. Each was tried on a tiny model with
random weights: {counts["described"]} are described, {counts["refused"]} are refused with the reason,
{counts["not built"]} were not built.

- *described*: the logits of a probe equal those of the description. *Prefix shared*: sequences continue a common prefix
  from its cache; otherwise each runs whole. *Padding left*: padding on the left leaves the states unchanged; pivotkit
  itself pads on the right.
- *refused*: `LensHead` refuses the model in one line. The reason is the rule that the model breaks.
- *not built*: no tiny model could be made here. Such a model is proved or refused when it is loaded, as every other.

Models of other classes of transformers are proved in the same way, and so are adapters of peft without virtual tokens.
Refused by name are encoder-decoders, models with parts under `torch.compile`, peft's prompt, prefix and P-tuning, and
quantized or offloaded heads.

`python tests/helpers/model_families.py` writes this page. `tests/lens/model/test_model_table.py` compares it with what
the code does: some rows always, all of them with `PIVOTKIT_BENCH=full`.

{table(rows)}
"""


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:]:
        print(table([found(model_type) for model_type in sys.argv[1:]]))
    else:
        DOCUMENT.write_text(document([found(model_type) for model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES]), "utf-8")
