"""The modules of the planted model: a causal LM of transformers with written maps in its blocks.

The residual stream has one dimension per token. At an answer tag ("B:") the first block fetches the word before the
tag. Each later block has one linear map per tag and applies it where that tag stands.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast


class PlantedConfig(PretrainedConfig):  # type: ignore[misc]
    """Shape of a planted model: ``hidden_size`` is the number of tokens, ``tag_ids`` are the answer tags' ids."""

    model_type = "pivotkit_planted"

    def __init__(
        self,
        vocab_size: int = 96,
        num_hidden_layers: int = 8,
        tag_ids: tuple[int, ...] = (3, 4, 5),
        rms_norm_eps: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = vocab_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = 1
        self.num_key_value_heads = 1
        self.tag_ids = list(tag_ids)
        self.rms_norm_eps = rms_norm_eps
        kwargs.setdefault("tie_word_embeddings", False)
        super().__init__(**kwargs)


class PlantedNorm(nn.Module):
    """Root-mean-square norm with a weight, computed in float32, as in Llama."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.variance_epsilon = epsilon

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        wide = hidden.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.variance_epsilon)
        normed: torch.Tensor = self.weight * wide.to(hidden.dtype)
        return normed


class PlantedAttention(nn.Module):
    """At an answer tag, add ``strength`` times the token before it; add nothing elsewhere.

    Keys are positions among the tokens that the mask keeps; values are the residual stream. Both go through the cache
    like those of any attention layer.
    """

    def __init__(self, config: PlantedConfig) -> None:
        super().__init__()
        self.tag_ids = list(config.tag_ids)
        self.strength = nn.Parameter(torch.ones(1))

    def forward(
        self, hidden: torch.Tensor, positions: torch.Tensor, kept: torch.Tensor, cache: Cache | None
    ) -> torch.Tensor:
        keys, values = positions[:, None, :, None].float(), hidden[:, None]
        if cache is not None:
            keys, values = cache.update(keys, values, 0)
        before = (keys[:, 0, None, :, 0] == positions[:, :, None] - 1) & kept[:, None, :]
        fetched = (before.to(values.dtype) @ values[:, 0]).to(hidden.dtype)
        is_tag = hidden[..., self.tag_ids].sum(-1, keepdim=True)
        added: torch.Tensor = self.strength * is_tag * fetched
        return added


class PlantedBlock(nn.Module):
    """One decoder block: the first fetches the source word, each later one applies the map of the answer's tag."""

    def __init__(self, config: PlantedConfig, layer: int) -> None:
        super().__init__()
        self.tag_ids = list(config.tag_ids)
        self.self_attn = PlantedAttention(config) if layer == 0 else None
        size = config.vocab_size
        maps = [] if layer == 0 else [nn.Linear(size, size, bias=False) for _ in self.tag_ids]
        self.maps = nn.ModuleList(maps)

    def forward(
        self, hidden: torch.Tensor, positions: torch.Tensor, kept: torch.Tensor, cache: Cache | None
    ) -> torch.Tensor:
        if self.self_attn is not None:
            fetched: torch.Tensor = self.self_attn(hidden, positions, kept, cache)
            return hidden + fetched
        update = torch.zeros_like(hidden)
        for tag, linear in zip(self.tag_ids, self.maps, strict=True):
            update += hidden[..., tag, None] * linear(hidden)
        return hidden + update


class PlantedPreTrainedModel(PreTrainedModel):  # type: ignore[misc]
    config_class = PlantedConfig
    base_model_prefix = "model"
    _no_split_modules = ["PlantedBlock"]  # noqa: RUF012

    def _init_weights(self, module: nn.Module) -> None:
        """Draw nothing: `plant` writes every weight."""


class PlantedModel(PlantedPreTrainedModel):
    """The blocks and the final norm."""

    def __init__(self, config: PlantedConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(PlantedBlock(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = PlantedNorm(config.hidden_size, config.rms_norm_eps)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        **_: Any,
    ) -> BaseModelOutputWithPast:
        """As LlamaModel.forward, but ``position_ids`` are ignored: the mask tells which token comes before."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("forward: input_ids or inputs_embeds must be given, not both; got both or neither")
        hidden = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        kept = self._kept(attention_mask, hidden, past)
        positions = (kept.cumsum(-1) - 1)[:, past:]
        states = [hidden]
        for block in self.layers:
            hidden = block(hidden, positions, kept, past_key_values)
            states.append(hidden)
        hidden = self.norm(hidden)
        states[-1] = hidden  # the last state is the normed one, as in every decoder of transformers
        return BaseModelOutputWithPast(
            last_hidden_state=hidden,
            past_key_values=past_key_values if use_cache or past_key_values is not None else None,
            hidden_states=tuple(states) if output_hidden_states else None,
        )

    @staticmethod
    def _kept(attention_mask: torch.Tensor | None, hidden: torch.Tensor, past: int) -> torch.Tensor:
        shape = (hidden.shape[0], past + hidden.shape[1])
        if attention_mask is None:
            return torch.ones(shape, dtype=torch.bool, device=hidden.device)
        if tuple(attention_mask.shape) != shape:
            raise ValueError(
                f"forward: attention_mask must have shape {shape}, cached tokens included; "
                f"got {tuple(attention_mask.shape)}"
            )
        return attention_mask.bool()


class PlantedForCausalLM(PlantedPreTrainedModel):
    """A planted model with its head."""

    def __init__(self, config: PlantedConfig) -> None:
        super().__init__(config)
        self.model = PlantedModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """As LlamaForCausalLM.forward."""
        outputs = self.model(input_ids, attention_mask, **kwargs)
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, keep])
        loss = None if labels is None else self.loss_function(logits, labels, self.config.vocab_size)
        return CausalLMOutputWithPast(loss, logits, outputs.past_key_values, outputs.hidden_states)


AutoConfig.register(PlantedConfig.model_type, PlantedConfig)
AutoModelForCausalLM.register(PlantedConfig, PlantedForCausalLM)
