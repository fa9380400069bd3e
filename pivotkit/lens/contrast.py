"""The item contrast: what an item changes in what a layer predicts, against the other items of its pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pivotkit.kernels import Unembedded, unembed
from pivotkit.kernels.torch_backend import full_precision, order_keys, split_order_keys
from pivotkit.lens.contrast_means import ContrastMeans, logit_blocks
from pivotkit.lens.groups import LEAST_ITEMS, about
from pivotkit.lens.model.parts import ModelParts, with_float64
from pivotkit.lens.positions import ANSWER, lines_of
from pivotkit.lens.trace_table import as_lists, as_texts
from pivotkit.lens.tracked_tokens import as_logits
from pivotkit.words.word_tokens import WordTokens

STATES_BYTES = 1 << 30  # of normed states that a trace keeps until all items of a pair are read
ROWS = 4096  # layers x items whose contrasts are read together; the head's matrix is read once for all of them


def states_that_fit(head: ModelParts, readers: int = 0) -> int:
    """The most items whose normed states, in float32, a trace keeps until it has read all items of a pair."""
    return STATES_BYTES // (4 * (len(head.blocks) + 1 + readers) * head.weight.shape[1])


@dataclass(frozen=True)
class Contrasts:
    """The item contrasts of N items in L layers, in arrays (N, L, k)."""

    items: list[int]
    top: NDArray[np.float32]  # of the top tokens
    ids: NDArray[np.int64]  # the tokens of the highest contrast
    values: NDArray[np.float32]
    logprobs: NDArray[np.float32]  # of the tokens of the highest contrast

    def __repr__(self) -> str:
        return f"Contrasts(items={len(self.items)}, layers={self.ids.shape[1]}, k={self.ids.shape[2]})"


@dataclass(frozen=True)
class AnswerStates:
    """What contrasts are computed from: N items read at the answer position of L layers."""

    rows: list[dict[str, Any]]  # of the items' table
    normed: torch.Tensor  # (L, N, D)
    logsumexp: torch.Tensor  # (L, N)
    top_ids: torch.Tensor  # (L, N, k)

    def __repr__(self) -> str:
        return f"AnswerStates(layers={self.normed.shape[0]}, items={len(self.rows)})"

    @property
    def rows_read(self) -> int:
        """Layers x items."""
        return self.normed.shape[0] * len(self.rows)

    @classmethod
    def joined(cls, parts: Sequence[AnswerStates]) -> AnswerStates:
        """The items of all parts."""
        return cls(
            [row for part in parts for row in part.rows],
            *(torch.cat([getattr(part, name) for part in parts], 1) for name in ("normed", "logsumexp", "top_ids")),
        )

    @classmethod
    def of(
        cls, at: list[int], rows: Sequence[dict[str, Any]], normed: torch.Tensor, result: Unembedded
    ) -> AnswerStates:
        """The positions ``at`` of N rows, states (L, N, D) and the kernel's result; all stay on their device."""
        return cls([rows[one] for one in at], normed[:, at], result.logsumexp[:, at], result.ids[:, at])


@dataclass(repr=False)
class ContrastReader:
    """Reads contrasts while a trace goes on: at once where the means are known, else when all items have been seen."""

    head: ModelParts
    groups: Counter[str]  # the items of each group
    means: ContrastMeans | None = None
    found: list[Contrasts] = field(default_factory=list)
    _kept: list[AnswerStates] = field(default_factory=list)
    _sums: ContrastMeans = field(default_factory=ContrastMeans)

    def __repr__(self) -> str:
        return f"ContrastReader(known={self.means is not None}, found={len(self.found)}, kept={len(self._kept)})"

    def add(self, states: AnswerStates) -> None:
        """Read the items of ``states``, or keep them until `finish`."""
        count = self.groups.__getitem__ if self.means is None else self.means.count
        enough = [at for at, row in enumerate(states.rows) if count(row["group"]) >= LEAST_ITEMS]
        if enough:
            kept = AnswerStates(
                [states.rows[at] for at in enough], states.normed[:, enough], states.logsumexp[:, enough],
                states.top_ids[:, enough],
            )  # fmt: skip
            if self.means is None:
                self._sums.add(self.head, kept.rows, kept.normed, kept.logsumexp)
                self._kept.append(kept)
            else:
                self.found.append(contrasts(self.head, self.means, kept))

    def finish(self) -> dict[str, Any]:
        """Read what was kept; returns which pairs have contrasts, and why others have none."""
        means = self._sums if self.means is None else self.means
        while self._kept:
            together = [self._kept.pop(0)]
            rows = together[0].rows_read
            while self._kept and rows + self._kept[0].rows_read <= ROWS:
                together.append(self._kept.pop(0))
                rows += together[-1].rows_read
            self.found.append(contrasts(self.head, means, AnswerStates.joined(together)))
        return about(self.groups if self.means is None else {group: means.count(group) for group in means.items})


@torch.inference_mode()
def contrasts(head: ModelParts, means: ContrastMeans, states: AnswerStates) -> Contrasts:
    """The contrast of each top token, and the top k by contrast.

    contrast_i(t) = log p_i(t) - mean of log p_j(t) over the other items j of the group
                  = n / (n - 1) * (scale * W_t . (x_i - mean x) - (lse_i - mean lse)),   the means over all n items

    The second line holds without a soft-cap, where the mean of a logit is the logit of the mean. So the top k by
    contrast are the top k of centred states.

    Parameters
    ----------
    head : LensHead
    means : ContrastMeans
        Of a set of items that holds those of ``states``, at least two per group.
    states : AnswerStates
        k tokens per item and layer.

    Returns
    -------
    Contrasts
        Equal contrasts go to the smaller id. Where all items of a group have one state, as the embedding of one token,
        every contrast is 0 up to the rounding of logsumexp.

    Notes
    -----
    States are centred in float64 and multiplied in float32. Cost: one pass of the head's matrix, screened in int8 on a
    CPU; with a soft-cap one product with the whole matrix in PyTorch, in blocks of the vocabulary.
    """
    device, k = head.weight.device, states.top_ids.shape[-1]
    home = with_float64(device)  # the states stay where they are; the means, a row for each group, come to them
    groups = sorted({row["group"] for row in states.rows})
    which = torch.tensor([groups.index(row["group"]) for row in states.rows])
    counts = torch.tensor([means.count(group) for group in groups])[which]
    lse = torch.stack([means.logsumexp[group] / means.count(group) for group in groups], 1)[:, which]
    factor = (counts / (counts - 1))[:, None].to(device)
    shift = (states.logsumexp.to(home).double() - lse.to(home)).float().unsqueeze(-1).to(device)
    top_ids, which = states.top_ids.to(device), which.to(home)
    # Of states (L, groups, D), or of capped logits (L, groups, V).
    middle = torch.stack([means.sums[group] / means.count(group) for group in groups], 1)
    if head.softcap is None:
        wide = torch.stack([(x.to(home).double() - mean[which]).float() for x, mean in zip(
            states.normed, middle.to(home), strict=True)]).to(device)  # fmt: skip
        ids, raised = _highest(head, wide, k)
        top = head.logit_scale * _products(head, wide, top_ids)
    else:
        ids, raised, top = _capped(head, states.normed, middle, which, top_ids)
    logprobs = logits_at(head, states.normed, ids) - states.logsumexp.unsqueeze(-1).to(device)
    by_item = [
        values.swapaxes(0, 1).cpu().numpy()
        for values in (factor * (top - shift), ids, factor * (raised - shift), logprobs)
    ]
    return Contrasts([row["item"] for row in states.rows], *by_item)


def _highest(head: ModelParts, wide: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and values of the k highest products of centred states (L, N, D) with the head's matrix.

    A state of zeros, where all items of a group have one, ties every token. A screen cannot settle that, so it is left
    out: equal values go to the smaller id.
    """
    ids = torch.arange(k, device=wide.device).repeat(*wide.shape[:-1], 1)
    values = torch.zeros(ids.shape, device=wide.device)
    some = wide.any(-1)
    if some.any():
        precision = head.screened.precision
        best = unembed(wide[some], head.screened, k, logit_scale=head.logit_scale, precision=precision)
        ids[some], values[some] = best.ids, best.logits
    return ids, values


def with_contrasts(table: pa.Table, found: Sequence[Contrasts], word_tokens: WordTokens) -> pa.Table:
    """Add the columns of contrasts after ``top_logprobs``, null where the label is not the answer or there is none."""
    block = {item: number for number, item in enumerate(item for one in found for item in one.items)}
    layers = found[0].ids.shape[1] if found else 1
    own = np.array([block.get(item, -1) for item in table["item"].to_pylist()])
    absent = (own < 0) | np.array([label != ANSWER for label in table["label"].to_pylist()])
    at = pa.array(own * layers + lines_of(table), pa.int64(), mask=absent)
    kinds = {"top": pa.float32(), "ids": pa.int32(), "values": pa.float32(), "logprobs": pa.float32()}
    lists = {name: as_lists(np.concatenate([getattr(one, name) for one in found]), kind) if found
             else pa.nulls(0, pa.list_(kind)) for name, kind in kinds.items()}  # fmt: skip
    texts = (
        as_texts(np.concatenate([one.ids for one in found]), word_tokens)
        if found
        else pa.nulls(0, pa.list_(pa.string()))
    )
    columns = {
        "top_contrasts": lists["top"],
        "contrast_ids": lists["ids"],
        "contrast_tokens": texts,
        "contrasts": lists["values"],
        "contrast_logprobs": lists["logprobs"],
    }
    place = table.schema.get_field_index("top_logprobs")
    for number, (name, values) in enumerate(columns.items(), 1):
        table = table.add_column(place + number, name, values.take(at))
    return table


def logits_at(head: ModelParts, normed: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The logits (L, N, R) of R tokens (L, N, R) per position and layer, from states (L, N, D) after the norm."""
    return as_logits(head, _products(head, normed, ids), ids)


def _products(head: ModelParts, states: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    with full_precision:
        return torch.stack([
            torch.einsum("nd,nrd->nr", x.float(), head.weight[own].float()) for x, own in zip(states, ids, strict=True)
        ])  # fmt: skip


def _capped(
    head: ModelParts, normed: torch.Tensor, middle: torch.Tensor, which: torch.Tensor, top_ids: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids and values of the highest capped logit less its group's mean (L, G, V), and the values of the top tokens."""
    layers, count, k = top_ids.shape
    device = normed.device
    best = torch.empty(layers * count, 0, dtype=torch.int64, device=device)
    top = torch.zeros(top_ids.shape, device=device)
    for begin, z in logit_blocks(head, normed):
        width = z.shape[-1]
        mean = middle[..., begin : begin + width].to(which.device)[:, which]
        raised = (z.to(which.device).double() - mean).float().to(device)
        here = (top_ids >= begin) & (top_ids < begin + width)
        top = torch.where(here, raised.gather(-1, torch.where(here, top_ids - begin, 0)), top)
        keys = torch.cat([best, order_keys(raised.reshape(-1, width), begin)], dim=1)
        best = keys.topk(min(k, keys.shape[1]), dim=1, sorted=True).values
    found = {name: values.reshape(top_ids.shape) for name, values in split_order_keys(best).items()}
    return found["ids"], found["logits"], top
