"""A language model whose weights are written, not trained: every layer's distribution is known beforehand.

The residual stream has one dimension a token. At an answer tag ("B:") the first block fetches the word before the tag;
each later block holds one linear map a tag. In these maps a pivot concept's source writes the pivot word, which alone
writes the target; a direct concept's source writes its target late. `PIVOT_PLAN` and `DIRECT_PLAN` say which
probabilities come out, and `expected_trace` gives them for a concept: an oracle for whatever reads a model's layers.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from pivotkit.experiment.testbed.world import NAMES, Concept, World

# Probabilities of (source, pivot, target) after each block; 0 where nothing is written: an even share of the rest.
PIVOT_PLAN = (
    (0.15, 0.00, 0.00),
    (0.15, 0.05, 0.00),
    (0.08, 0.30, 0.00),
    (0.05, 0.55, 0.00),
    (0.04, 0.75, 0.03),
    (0.03, 0.80, 0.06),
    (0.03, 0.40, 0.35),
    (0.03, 0.06, 0.70),
)
DIRECT_PLAN = (
    (0.15, 0.00, 0.00),
    (0.15, 0.00, 0.00),
    (0.12, 0.00, 0.00),
    (0.10, 0.00, 0.00),
    (0.08, 0.00, 0.05),
    (0.06, 0.00, 0.15),
    (0.04, 0.00, 0.45),
    (0.03, 0.00, 0.80),
)
BLOCKS = len(PIVOT_PLAN)
EPSILON = 1e-6  # of the final norm


class PlantedConfig(PretrainedConfig):  # type: ignore[misc]
    """Shape of a planted model: ``hidden_size`` is the number of tokens, ``tag_ids`` are the answer tags' ids."""

    model_type = "pivotkit_planted"

    def __init__(self, vocab_size: int = 96, tag_ids: tuple[int, ...] = (2, 3, 4), **kwargs: Any) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = vocab_size
        self.num_hidden_layers = BLOCKS
        self.num_attention_heads = 1
        self.num_key_value_heads = 1
        self.tag_ids = list(tag_ids)
        self.rms_norm_eps = EPSILON
        kwargs.setdefault("tie_word_embeddings", False)
        super().__init__(**kwargs)


class PlantedNorm(nn.Module):
    """Root-mean-square norm with a weight, in float32, as in Llama."""

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

    Keys are positions among the tokens that the mask keeps, values are the residual stream: both go through the cache
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
        """Nothing is drawn: `plant` writes every weight."""


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
        """As LlamaModel.forward; ``position_ids`` is not needed, since the mask tells which token comes before."""
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
        states[-1] = hidden  # as in every decoder of transformers, the last state is the normed one
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
                f"forward: attention_mask must have shape {shape}, cached tokens included; got {tuple(attention_mask.shape)}"
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


def _plan(concept: Concept, direction: str) -> tuple[tuple[float, float, float], ...]:
    return PIVOT_PLAN if concept.kind == "pivot" and direction in ("ab", "ba") else DIRECT_PLAN


def _logits(plan: tuple[tuple[float, float, float], ...], vocabulary: int) -> torch.Tensor:
    """Logits of (source, pivot, target) a layer, float64 (layers, 3); every other token's logit is 0."""
    shares = torch.tensor(plan, dtype=torch.float64)
    rest = (1 - shares.sum(1, keepdim=True)) / (vocabulary - (shares > 0).sum(1, keepdim=True))
    return torch.where(shares > 0, torch.log(shares.clamp_min(1e-30) / rest), 0.0)


def _scale(vocabulary: int) -> float:
    """Greatest logit that the head can give; above every planned one, so that amplitudes stay about one."""
    return 1.5 * max(float(_logits(plan, vocabulary).norm(dim=1).max()) for plan in (PIVOT_PLAN, DIRECT_PLAN))


def _amplitudes(plan: tuple[tuple[float, float, float], ...], vocabulary: int) -> torch.Tensor:
    """Amplitudes in the residual stream that give the planned logits.

    The stream holds the tag with amplitude 1 and the words with amplitudes x, so with r = logits / scale and the norm
    sqrt((1 + |x|^2) / V + epsilon), the head gives r = x / sqrt(1 + |x|^2 + V epsilon). Solved for x:
    x = r sqrt((1 + V epsilon) / (1 - |r|^2)).
    """
    ratio = _logits(plan, vocabulary) / _scale(vocabulary)
    return ratio * torch.sqrt((1 + vocabulary * EPSILON) / (1 - ratio.square().sum(1, keepdim=True)))


def plant(world: World) -> PlantedForCausalLM:
    """Write the weights of a model that treats the world's concepts as the world planted them.

    Parameters
    ----------
    world : World
        Direct concepts go from source to target, pivot concepts through their P word. The P word is no source: what
        follows a P word is not planned.

    Returns
    -------
    PlantedForCausalLM
        In float32 and evaluation mode, with `BLOCKS` blocks and one dimension a token.

    Examples
    --------
    >>> from pivotkit.experiment.testbed import World, WorldConfig, plant
    >>> model = plant(World(WorldConfig(concepts=8, held_out=4, background=8)))
    >>> model.config.hidden_size == model.config.vocab_size
    True
    """
    size = len(world.vocabulary)
    ids = {word: number for number, word in enumerate(world.vocabulary)}
    languages = tuple(NAMES)
    config = PlantedConfig(
        vocab_size=size, tag_ids=tuple(ids[f"{NAMES[x]}:"] for x in languages), bos_token_id=0, eos_token_id=0
    )
    model = PlantedForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        model.model.norm.weight.fill_(1.0)
        words = torch.tensor([ids[concept.words[x]] for concept in world.concepts for x in languages])
        model.lm_head.weight[words, words] = _scale(size) / math.sqrt(size)
        model.model.layers[0].self_attn.strength.fill_(float(_amplitudes(PIVOT_PLAN, size)[0, 0]))
        for concept in world.concepts:
            for source in ("a", "b"):
                for target in languages:
                    if source != target:
                        tag = languages.index(target)
                        maps = [block.maps[tag].weight for block in model.model.layers[1:]]
                        _write(maps, _plan(concept, source + target), concept, (source, target), ids)
    model.eval()
    return model


def _write(
    maps: list[torch.Tensor],
    plan: tuple[tuple[float, float, float], ...],
    concept: Concept,
    direction: tuple[str, str],
    ids: dict[str, int],
) -> None:
    """Write one concept's part of the maps of one tag: each amplitude's change, read from what carries the concept."""
    source, pivot, target = (ids[concept.words[x]] for x in (direction[0], "p", direction[1]))
    amplitudes = _amplitudes(plan, len(ids)).tolist()
    through_pivot = plan is PIVOT_PLAN
    for weight, (s0, p0, t0), (s1, p1, t1) in zip(maps, amplitudes, amplitudes[1:], strict=False):
        weight[source, source] = (s1 - s0) / s0
        if not through_pivot:
            weight[target, source] = (t1 - t0) / s0
            continue
        if p1 > p0:
            weight[pivot, source] = (p1 - p0) / s0
        else:
            weight[pivot, pivot] = (p1 - p0) / p0
        if p0:
            weight[target, pivot] = (t1 - t0) / p0


def expected_trace(world: World, concept: int, direction: str) -> NDArray[Any]:
    """Probabilities that the planted model's layers give at the answer position, by construction.

    Parameters
    ----------
    world : World
    concept : int
        Index into ``world.concepts``.
    direction : str
        Languages of source and target: ``"ab"``, ``"ba"``, ``"ap"`` or ``"bp"``.

    Returns
    -------
    numpy.ndarray
        float64 (BLOCKS + 1, 4): source, pivot, target and any one other token, a row for the embedding output and one
        for the output of each block. The pivot's column is that of any other token where nothing is planned for it
        (direct concepts), and the target's where the target is the P word itself.

    Raises
    ------
    ValueError
        For a direction that is not planned.

    Examples
    --------
    >>> from pivotkit.experiment.testbed import World, WorldConfig, expected_trace
    >>> world = World(WorldConfig(concepts=8, held_out=4, background=8))
    >>> pivot = next(concept.index for concept in world.concepts if concept.kind == "pivot")
    >>> expected_trace(world, pivot, "ab")[6, :3].tolist()
    [0.03, 0.8, 0.06]
    """
    if direction not in ("ab", "ba", "ap", "bp"):
        raise ValueError(f'expected_trace: direction must be "ab", "ba", "ap" or "bp"; got {direction!r}')
    size = len(world.vocabulary)
    plan = torch.tensor(_plan(world.concepts[concept], direction), dtype=torch.float64)
    rest = (1 - plan.sum(1, keepdim=True)) / (size - (plan > 0).sum(1, keepdim=True))
    table = torch.cat((torch.where(plan > 0, plan, rest), rest), 1)
    if direction[1] == "p":
        table[:, 1] = table[:, 2]
    return torch.cat((torch.full((1, 4), 1 / size, dtype=torch.float64), table)).numpy()


AutoConfig.register(PlantedConfig.model_type, PlantedConfig)
AutoModelForCausalLM.register(PlantedConfig, PlantedForCausalLM)
