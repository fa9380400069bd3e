"""The log-probability of all tokens of a target, each after those before it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pivotkit.lens.invariants import check_invariants
from pivotkit.lens.model.encoding import Encoded
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.positions import lines_of


def other_tokens(text: Encoded) -> list[int]:
    """Indices of the target's tokens that are not blank, but for the one that is read at the answer."""
    return [index for index in range(text.word_start, len(text.ids)) if index != text.telling]


def follow_chains(
    head: LensHead, states: torch.Tensor, links: Sequence[Sequence[tuple[int, int]]], rest: NDArray[np.float64]
) -> None:
    """Add to ``rest`` the log-probability that each layer gives to the next tokens."""
    here = [(at, item, token) for at, own in enumerate(links) for item, token in own]
    if here:
        at, whose, tokens = (list(column) for column in zip(*here, strict=True))
        result = head.unembed(states[:, at], 1, targets=torch.tensor(tokens).unsqueeze(1).expand(len(states), -1, 1))
        check_invariants("trace", result, len(head.weight))
        assert result.target_logprobs is not None  # targets were given
        np.add.at(rest, whose, result.target_logprobs[..., 0].T.double().cpu().numpy())


def with_chains(table: pa.Table, items: pa.Table, rest: NDArray[np.float64] | None) -> pa.Table:
    """Add the column ``target_chain_logprob`` after the target's rank; null unless asked for and at the answer."""
    chained = pa.nulls(table.num_rows, pa.float32())
    if rest is not None:
        line = {item: at for at, item in enumerate(items["item"].to_pylist())}
        at = [line[item] for item in table["item"].to_pylist()]
        whole = table["target_logprob"].to_numpy() + rest[at, lines_of(table)]
        elsewhere = np.array([label != "answer" for label in table["label"].to_pylist()])
        chained = pa.array(whole.astype(np.float32), mask=elsewhere)
    return table.add_column(table.schema.get_field_index("target_rank") + 1, "target_chain_logprob", chained)
