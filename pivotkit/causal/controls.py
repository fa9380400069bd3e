"""Tokens and items that stand beside a pivot: other items' pivots, and tokens matched by frequency or by nearness."""

from __future__ import annotations

import itertools
import math
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pivotkit.causal.chosen import Item, Subject
from pivotkit.causal.directions import TokenDirections
from pivotkit.lens.model.parts import ModelParts
from pivotkit.lens.tracked_tokens import as_logits
from pivotkit.words.token_classes import written_form
from pivotkit.words.word_tokens import WordTokens

NEAREST = 256  # tokens most nearly as near to source and answer as the pivot, of which the first one not shown is taken
SHOWN = math.log(10)  # contrast from which a layer counts as showing a token for an item
ALIKE = 16  # tokens of the nearest frequency among which one is drawn
ROWS = 1 << 14  # rows of the head's matrix whose directions are held together
OTHERS = 3  # pivots of other items per subject: one to swap with, two more to swap with each other


def generator(seed: int, item: Item, layer: int, use: str) -> np.random.Generator:
    """A generator for one use in one item and layer, so that no draw depends on other items or batches."""
    return np.random.default_rng([seed, zlib.crc32(use.encode()), item.item, layer])


def other_subjects(subject: Subject, items: Sequence[Item], alike: Sequence[Subject], seed: int) -> list[Subject]:
    """Draw up to `OTHERS` subjects of other items, with different pivots.

    Parameters
    ----------
    subject : Subject
    items : sequence of Item
    alike : sequence of Subject
        Those of the same pair, layer and class.
    seed : int

    Returns
    -------
    list of Subject
        Their pivots are neither the subject's own nor tokens of its item's families, and their items have another
        answer.
    """
    own = items[subject.at]
    order = generator(seed, own, subject.layer, f"other {subject.kind}").permutation(len(alike))
    found: list[Subject] = []
    for other in (alike[at] for at in order):
        taken = {subject.token, *own.family, *(one.token for one in found)}
        answers = {own.answer, *(items[one.at].answer for one in found)}
        if other.at != subject.at and other.token not in taken and items[other.at].answer not in answers:
            found.append(other)
        if len(found) == OTHERS:
            break
    return found


def partner_of_concept(own: int, items: Sequence[Item], layer: int, seed: int) -> int | None:
    """Draw a solved item of the same concept in another pair, with another answer; None where there is none."""
    here = items[own]
    found = [
        at for at, item in enumerate(items)
        if item.reason is None and item.concept == here.concept and item.pair != here.pair
        and item.answer != here.answer
    ]  # fmt: skip
    return int(generator(seed, here, layer, "concept").choice(found)) if found else None


def random_unit(size: int, item: Item, layer: int, seed: int, use: str) -> NDArray[np.float64]:
    """A unit vector drawn evenly from all directions."""
    drawn = generator(seed, item, layer, use).standard_normal(size)
    unit: NDArray[np.float64] = drawn / np.linalg.norm(drawn)
    return unit


class FrequencyMatched:
    """Draws tokens of about a token's frequency and of its written form.

    Parameters
    ----------
    word_tokens : WordTokens
    vocabulary : int
    frequencies : (V,) numbers or None
        None takes the order of ids, which in vocabularies of merges is about that of frequency.
    """

    def __init__(self, word_tokens: WordTokens, vocabulary: int, frequencies: NDArray[np.float64] | None) -> None:
        self._word_tokens = word_tokens
        self.order = np.arange(vocabulary) if frequencies is None else np.argsort(-frequencies, kind="stable")
        self._rank = np.empty(vocabulary, np.int64)
        self._rank[self.order] = np.arange(vocabulary)

    def __repr__(self) -> str:
        return f"FrequencyMatched(tokens={len(self.order)})"

    def draw(self, token: int, excluded: set[int], random: np.random.Generator) -> int | None:
        """Draw one of the `ALIKE` tokens of the nearest frequency that are of the form; None without any."""
        wanted = written_form(self._word_tokens.text(token))
        alike = (
            one for one in self._outward(int(self._rank[token]))
            if one not in excluded and one != token and written_form(self._word_tokens.text(one)) == wanted
        )  # fmt: skip
        found = list(itertools.islice(alike, ALIKE))
        return int(random.choice(found)) if found else None

    def _outward(self, rank: int) -> Iterator[int]:
        """Tokens by distance of their rank; the more frequent of two equally near ones first."""
        for distance in range(1, len(self.order)):
            for near in (rank - distance, rank + distance):
                if 0 <= near < len(self.order):
                    yield int(self.order[near])


@dataclass(frozen=True)
class Nearness:
    """What `matched_tokens` is to match: a token beside its item's source and answer."""

    token: int
    source: int
    answer: int


@torch.inference_mode()
def nearest_tokens(
    directions: TokenDirections, wanted: Sequence[Nearness]
) -> Mapping[Nearness, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Find for each token those whose directions lie as near to source and answer as its own does.

    Parameters
    ----------
    directions : TokenDirections
        Without a lens.
    wanted : sequence of Nearness

    Returns
    -------
    mapping of Nearness to (ids, distances)
        The `NEAREST` tokens whose cosines with the two directions differ least from its own, in the sum of the two
        absolute differences, nearest first; itself is among them at 0.

    Notes
    -----
    Cost: one pass over the head's matrix, in float32, with D more products per row.
    """
    wanted = list(dict.fromkeys(wanted))
    head = directions.head
    device = head.weight.device
    linear = directions.linear.to(device, torch.float32)

    def units(rows: torch.Tensor) -> torch.Tensor:
        found = rows.float() @ linear
        return found.div_(found.norm(dim=1, keepdim=True).clamp_min(1e-30))

    def indices(values: Iterable[int]) -> torch.Tensor:
        return torch.tensor(list(values), device=device)

    ends = list(dict.fromkeys(end for one in wanted for end in (one.source, one.answer)))
    at = {end: number for number, end in enumerate(ends)}
    columns = [indices(at[one.source] for one in wanted), indices(at[one.answer] for one in wanted)]
    to_ends = units(head.weight[indices(ends)]).T
    own = units(head.weight[indices(one.token for one in wanted)]) @ to_ends
    mine = [own.gather(1, column[:, None])[:, 0] for column in columns]
    best = torch.zeros(len(wanted), 0, device=device)
    ids = torch.zeros(len(wanted), 0, dtype=torch.int64, device=device)
    begin = 0
    for rows in head.weight.split(ROWS):
        cosines = units(rows) @ to_ends
        off = (cosines[:, columns[0]] - mine[0]).abs() + (cosines[:, columns[1]] - mine[1]).abs()
        here = torch.arange(begin, begin + len(rows), device=device).expand(len(wanted), -1)
        best, ids = torch.cat([best, off.T], 1), torch.cat([ids, here], 1)
        best, order = best.topk(min(NEAREST, best.shape[1]), largest=False)
        ids = ids.gather(1, order)
        begin += len(rows)
    return {one: (ids[row].cpu().numpy(), best[row].double().cpu().numpy()) for row, one in enumerate(wanted)}


@torch.inference_mode()
def contrasts(
    head: ModelParts, normed: torch.Tensor, logsumexp: torch.Tensor, own: int, tokens: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How far one of N states raises R tokens above the others: its log-probability less their mean, (R,) nats.

    Parameters
    ----------
    head : LensHead
    normed : (N, D') tensor
        The result of ``head.normed``.
    logsumexp : (N,) tensor
        Of each state's logits.
    own : int
        Which of them.
    tokens : (R,) int64
    """
    ids = torch.from_numpy(tokens).to(head.weight.device)
    logits = as_logits(head, normed.float() @ head.weight[ids].float().T, ids)
    logprobs = (logits - logsumexp.to(logits)[:, None]).double()
    others = torch.arange(len(logprobs), device=ids.device) != own
    found: NDArray[np.float64] = (logprobs[own] - logprobs[others].mean(0)).cpu().numpy()
    return found


def control_tokens(
    found: Sequence[Subject], items: Sequence[Item], states: NDArray[np.float32], layers: Sequence[int],
    directions: TokenDirections, word_tokens: WordTokens, frequencies: NDArray[np.float64] | None, seed: int,
) -> dict[tuple[Subject, str], int]:  # fmt: skip
    """The tokens of the controls ``frequency`` and ``matched`` of each subject; one that has none is absent.

    Parameters
    ----------
    found : sequence of Subject
    items : sequence of N Item
    states : (L, N, D) float32
        Their states in ``layers``.
    layers : sequence of L int
    directions : TokenDirections
        Without a lens: the tokens are the same for all kinds of directions.
    word_tokens, frequencies, seed
        As in `causal_test`.

    Notes
    -----
    A token is shown if the item raises it by at least `SHOWN` above the other solved items of its pair.
    """
    head = directions.head
    wanted = [Nearness(one.token, items[one.at].source, items[one.at].answer) for one in found]
    nearest = nearest_tokens(directions, wanted)
    frequent = FrequencyMatched(word_tokens, len(head.weight), frequencies)
    tokens: dict[tuple[Subject, str], int] = {}
    solved: dict[str, list[int]] = defaultdict(list)
    for at, item in enumerate(items):
        if item.reason is None:
            solved[item.group].append(at)
    read: dict[tuple[str, int], tuple[torch.Tensor, torch.Tensor]] = {}
    for subject, near in zip(found, wanted, strict=True):
        item = items[subject.at]
        here = solved[item.group]
        taken = {subject.token, *item.family}
        ids = nearest[near][0]
        ids = ids[[one not in taken for one in ids.tolist()]]
        if len(here) > 1 and len(ids):
            if (item.group, subject.layer) not in read:
                held = torch.from_numpy(states[layers.index(subject.layer), here]).to(head.weight)
                read[item.group, subject.layer] = head.normed(held), head.unembed(held, 1).logsumexp
            hidden = ids[contrasts(head, *read[item.group, subject.layer], here.index(subject.at), ids) < SHOWN]
            if len(hidden):
                tokens[subject, "matched"] = int(hidden[0])
        drawn = frequent.draw(subject.token, taken, generator(seed, item, subject.layer, f"frequency {subject.kind}"))
        if drawn is not None:
            tokens[subject, "frequency"] = drawn
    return tokens
