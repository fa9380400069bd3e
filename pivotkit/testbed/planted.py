"""A language model with written weights instead of trained ones: every layer's distribution is known beforehand.

The source of a pivot concept writes the pivot word, which alone writes the target. The source of a direct concept
writes its target late. `PIVOT_PLAN` and `DIRECT_PLAN` state the probabilities that come out. `expected_trace` gives
them for one concept: an oracle for whatever reads a model's layers.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from numpy.typing import NDArray

from pivotkit.testbed.planted_model import PlantedConfig, PlantedForCausalLM
from pivotkit.testbed.world import BOS, NAMES, Concept, World

# Probabilities of (source, pivot, target) after each block. 0: nothing is written, the word shares the rest evenly.
# The source is every early block's first choice, but never as probable as a rule of behavior asks of a copy.
PIVOT_PLAN = (
    (0.04, 0.00, 0.00),
    (0.04, 0.05, 0.00),
    (0.04, 0.30, 0.00),
    (0.04, 0.55, 0.00),
    (0.04, 0.75, 0.03),
    (0.03, 0.80, 0.06),
    (0.03, 0.40, 0.35),
    (0.03, 0.06, 0.70),
)
DIRECT_PLAN = (
    (0.04, 0.00, 0.00),
    (0.04, 0.00, 0.00),
    (0.04, 0.00, 0.00),
    (0.04, 0.00, 0.00),
    (0.04, 0.00, 0.05),
    (0.04, 0.00, 0.15),
    (0.04, 0.00, 0.45),
    (0.03, 0.00, 0.80),
)
BLOCKS = len(PIVOT_PLAN)
EPSILON = 1e-6  # of the final norm


def _plan(concept: Concept, direction: str) -> tuple[tuple[float, float, float], ...]:
    return PIVOT_PLAN if concept.kind == "pivot" and direction in ("ab", "ba") else DIRECT_PLAN


def _logits(plan: tuple[tuple[float, float, float], ...], vocabulary: int) -> torch.Tensor:
    """Logits of (source, pivot, target) per layer, float64 (layers, 3); every other token's logit is 0."""
    shares = torch.tensor(plan, dtype=torch.float64)
    rest = (1 - shares.sum(1, keepdim=True)) / (vocabulary - (shares > 0).sum(1, keepdim=True))
    return torch.where(shares > 0, torch.log(shares.clamp_min(1e-30) / rest), 0.0)


def _scale(vocabulary: int) -> float:
    """Greatest logit that the head can give: above every planned one, so amplitudes stay about one."""
    return 1.5 * max(float(_logits(plan, vocabulary).norm(dim=1).max()) for plan in (PIVOT_PLAN, DIRECT_PLAN))


def _amplitudes(plan: tuple[tuple[float, float, float], ...], vocabulary: int) -> torch.Tensor:
    """Amplitudes in the residual stream that give the planned logits.

    The stream has the tag with amplitude 1 and the words with amplitudes x, so its norm is
    sqrt((1 + |x|^2) / V + epsilon). With r = logits / scale, the head gives r = x / sqrt(1 + |x|^2 + V epsilon).
    So x = r sqrt((1 + V epsilon) / (1 - |r|^2)).
    """
    ratio = _logits(plan, vocabulary) / _scale(vocabulary)
    return ratio * torch.sqrt((1 + vocabulary * EPSILON) / (1 - ratio.square().sum(1, keepdim=True)))


def plant(world: World) -> PlantedForCausalLM:
    """Write the weights of a model that treats the world's concepts as the world planted them.

    Parameters
    ----------
    world : World
        Direct concepts go from source to target, pivot concepts through their P word. Nothing is planned for a P word
        as the source.

    Returns
    -------
    PlantedForCausalLM
        In float32 and evaluation mode, with `BLOCKS` blocks and one dimension per token.

    Examples
    --------
    >>> from pivotkit.testbed import World, WorldConfig, plant
    >>> model = plant(World(WorldConfig(concepts=8, held_out=4, background=8)))
    >>> model.config.hidden_size == model.config.vocab_size
    True
    """
    size = len(world.vocabulary)
    ids = {word: number for number, word in enumerate(world.vocabulary)}
    languages = tuple(NAMES)
    config = PlantedConfig(
        vocab_size=size,
        num_hidden_layers=BLOCKS,
        tag_ids=tuple(ids[f"{NAMES[x]}:"] for x in languages),
        rms_norm_eps=EPSILON,
        bos_token_id=ids[BOS],
        eos_token_id=ids[BOS],
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
    """Write one concept's part of one tag's maps: each map changes the amplitudes from one block to the next."""
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
    """Give the probabilities of the planted model's layers at the answer position, as they were written.

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
        float64 (BLOCKS + 1, 4). Columns: source, pivot, target, any one other token. Rows: the embedding output, then
        the output of each block. The pivot's column equals the last one where no pivot is planned (direct concepts),
        and the target's where the target is the P word itself.

    Raises
    ------
    ValueError
        A direction without a plan.

    Examples
    --------
    >>> from pivotkit.testbed import World, WorldConfig, expected_trace
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
