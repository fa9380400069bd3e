"""What every edit does to the answer: batches of edits through the model and its head, as rows of the table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pivotkit.causal.chosen import Item, Subject
from pivotkit.causal.passes import EditedPasses, groups, skippable
from pivotkit.causal.variants import Edit, Variants
from pivotkit.lens.invariants import check_invariants
from pivotkit.lens.model.difference import tolerance
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.proof import LAYER_ROUNDING
from pivotkit.lens.tracked_tokens import as_logits

EDITS = 512  # edited states that wait for one pass over the head's matrix

CAUSAL = pa.schema(
    [("item", pa.int32()), ("pair", pa.string()), ("concept", pa.string()), ("layer", pa.int32()),
     ("intervention", pa.string()), ("direction", pa.string()), ("control", pa.string()), ("mean", pa.bool_()),
     ("removed", pa.float32()), ("token_id", pa.int32()), ("class", pa.string()), ("strength", pa.float32()),
     ("delta_logprob", pa.float32()), ("delta_rank", pa.int32()), ("delta_other_logprob", pa.float32())]
)  # fmt: skip


def run_edits(
    head: LensHead, items: Sequence[Item], found: Sequence[Subject], states: torch.Tensor,
    layers: Sequence[int], variants: Variants,
) -> pa.Table:  # fmt: skip
    """The rows of all edits, in the order of items, layers and classes."""
    by_item: dict[int, list[Subject]] = defaultdict(list)
    for subject in found:
        by_item[subject.at].append(subject)
    tested = list(by_item)
    first = items[tested[0]]
    skips = skippable(head, first.ids, layers, states[:, tested[0]]) if head.shares_prefix else frozenset()
    columns: dict[str, list[Any]] = {name: [] for name in CAUSAL.names}
    for group in groups([items[at].ids for at in tested]):
        passes = EditedPasses(head, [items[tested[number]].ids for number in group], skips)
        line = {tested[number]: row for row, number in enumerate(group)}
        for number, layer in enumerate(layers):
            waiting: list[tuple[Subject, Edit | None]] = []
            here = [one for at in line for one in by_item[at] if one.layer == layer]
            for place, subject in enumerate(here):
                waiting.append((subject, None))  # the state as it is
                waiting += [(subject, edit) for edit in variants.edits(subject)]
                if len(waiting) >= EDITS or place == len(here) - 1:
                    _read(head, passes, items, layer, line, states[number], waiting, columns)
                    waiting = []
    table = pa.table(columns, schema=CAUSAL)
    order = np.lexsort([np.arange(table.num_rows), table["layer"].to_numpy(), table["item"].to_numpy()])
    return table.take(order)


def _read(
    head: LensHead, passes: EditedPasses, items: Sequence[Item], layer: int, line: dict[int, int],
    states: torch.Tensor, waiting: Sequence[tuple[Subject, Edit | None]], columns: dict[str, list[Any]],
) -> None:  # fmt: skip
    """Run edits of one layer and add their rows; each subject's own state comes before its edits."""
    new = [states[one.at] if edit is None else edit.state.to(states) for one, edit in waiting]
    put = torch.stack(new).to(head.weight)
    if not put.isfinite().all():
        subject, edit = waiting[int((~put.isfinite()).any(1).nonzero()[0])]
        raise ValueError(
            f"causal_test: edited states must be finite; got {edit} at layer {layer}, item {items[subject.at].item}"
        )
    last = passes.run(layer, [line[one.at] for one, _ in waiting], put)
    answers = [items[one.at].answer for one, _ in waiting]
    others = [None if edit is None else edit.other_answer for _, edit in waiting]
    # The change for another answer needs its log-probability of the unedited state too: all named ones of all rows.
    named = sorted({other for other in others if other is not None} | set(answers))
    result = head.unembed(last, 1, targets=torch.tensor(answers)[:, None])
    check_invariants("causal_test", result, len(head.weight))
    assert result.target_logprobs is not None  # targets were given
    assert result.target_ranks is not None
    logprobs, ranks = result.target_logprobs[:, 0].double().cpu().numpy(), result.target_ranks[:, 0].cpu().numpy()
    beside = _logprobs(head, last, result.logsumexp, named)
    bound = LAYER_ROUNDING * tolerance(head.weight) * result.logits[:, 0].abs().clamp_min(1).cpu().numpy()
    base = 0
    for row, (subject, edit) in enumerate(waiting):
        item = items[subject.at]
        if edit is None:
            base = row
            if not abs(logprobs[row] - item.logprob) <= bound[row]:
                raise ValueError(
                    f"causal_test: model must give an unedited state the log-probability of the whole pass, "
                    f"{item.logprob:.4f}; got {logprobs[row]:.4f} at layer {layer}, item {item.item}: a hook or a part "
                    f"of the model changes states by their place"
                )
            continue
        other = edit.other_answer
        values = (
            item.item, item.pair, str(item.concept), layer, edit.intervention, edit.direction, edit.control, edit.mean,
            edit.removed, edit.token, subject.kind, edit.strength, logprobs[row] - logprobs[base],
            int(ranks[row] - ranks[base]),
            None if other is None else beside[row, named.index(other)] - beside[base, named.index(other)],
        )  # fmt: skip
        for name, value in zip(CAUSAL.names, values, strict=True):
            columns[name].append(value)


def _logprobs(
    head: LensHead, states: torch.Tensor, logsumexp: torch.Tensor, tokens: Sequence[int]
) -> NDArray[np.float64]:
    """The log-probabilities (N, R) of a few tokens for each state."""
    ids = torch.tensor(tokens, device=head.weight.device)
    logits = as_logits(head, head.normed(states).float() @ head.weight[ids].float().T, ids)
    found: NDArray[np.float64] = (logits.double() - logsumexp.double().to(logits.device)[:, None]).cpu().numpy()
    return found
