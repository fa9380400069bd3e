"""The unembedding in chunked PyTorch on any device, with the contract and the total order of the native code."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pivotkit.kernels.arrays import tensor
from pivotkit.kernels.request import UnembedRequest
from pivotkit.kernels.token_sets import TokenSetTable
from pivotkit.kernels.torch_divergence import Divergence

_NAME = "unembed"
_LARGEST_ID = 0x7FFFFFFF


def unembed(request: UnembedRequest) -> dict[str, Tensor]:
    """Answer blocks of rows against chunks of the vocabulary.

    Returns
    -------
    dict
        Tensors by the names of ``Unembedded``, on the device of ``hidden``.
    """
    hidden, weight = tensor(request.hidden), tensor(request.weight)
    vocabulary, dim = weight.shape
    check_ids(vocabulary, request.targets, request.token_sets)
    check_references(hidden.shape[0], request.references)
    _check_finite("hidden", hidden)
    bias = None if request.bias is None else tensor(request.bias)
    check_bias(bias)
    # A quarter holds the widened chunk of weights; the rest holds logits, their order keys and what topk needs of each.
    chunk = max(1, min(vocabulary, 8192, request.workspace // 16 // dim))
    block = max(1, request.workspace // 2 // (40 * chunk))
    head = _Head(weight, bias, request.logit_scale, request.softcap, chunk)
    with full_precision:
        blocks = [_unembed_block(request, head, hidden, at, block) for at in range(0, max(hidden.shape[0], 1), block)]
    return {name: torch.cat([one[name] for one in blocks]) for name in blocks[0]}


class _FullPrecision:
    """Has CUDA multiply float32 in float32 and sum float16 products in float32, whatever the process allows elsewhere.

    These settings belong to the process: the first of several threads raises them, the last one puts them back.
    """

    def __init__(self) -> None:
        self.lock, self.depth, self.undo = threading.Lock(), 0, list[Callable[[], Any]]()

    def __enter__(self) -> None:
        with self.lock:
            self.depth += 1
            if self.depth == 1:
                self.undo = _raise_precision()

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.depth -= 1
            if self.depth == 0:
                for put_back in self.undo:
                    put_back()


def _raise_precision() -> list[Callable[[], Any]]:
    """Raise each setting that is too low; returns what puts those back."""
    matmul, undo = torch.backends.cuda.matmul, list[Callable[[], Any]]()
    if not hasattr(matmul, "fp32_precision"):  # torch before 2.9
        undo.append(functools.partial(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision()))
        torch.set_float32_matmul_precision("highest")
    for name, wanted in (("fp32_precision", ("ieee", "none")), ("allow_fp16_accumulation", (False,))):
        value = getattr(matmul, name, wanted[0])
        if value not in wanted:
            undo.append(functools.partial(setattr, matmul, name, value))
            setattr(matmul, name, wanted[0])
    return undo


full_precision = _FullPrecision()


def check_ids(vocabulary: int, targets: NDArray[np.int64] | None, table: TokenSetTable | None) -> None:
    """Refuse ids outside the vocabulary."""
    for argument, ids in (("targets", targets), ("token_sets", None if table is None else table.ids)):
        if ids is not None and ids.size and (ids.min() < 0 or ids.max() >= vocabulary):
            wrong = ids[(ids < 0) | (ids >= vocabulary)].ravel()[0]
            raise IndexError(f"{_NAME}: {argument} must be ids from 0 to {vocabulary - 1}; got {wrong}")


def check_references(rows: int, references: NDArray[np.int64] | None) -> None:
    """Refuse references that are not rows of hidden."""
    if references is not None and references.size and (references.min() < 0 or references.max() >= rows):
        wrong = references[(references < 0) | (references >= rows)][0]
        raise IndexError(f"{_NAME}: references must be rows from 0 to {rows - 1}; got {wrong}")


def check_bias(bias: Tensor | None) -> None:
    """Refuse a bias that is not finite."""
    if bias is not None and not torch.isfinite(bias).all():
        raise ValueError(f"{_NAME}: bias must be finite; got NaN or infinity")


def refuse_nonfinite(hidden: Tensor, weight: Tensor, bias: Tensor | None = None) -> NoReturn:
    """Raise for a logit that was NaN or infinite: names the first such place in the arguments, or the overflow."""
    _check_finite("hidden", hidden)
    _check_finite("weight", weight)
    check_bias(bias)
    raise ValueError(f"{_NAME}: hidden must give products with weight that fit float32; got an overflow")


def _check_finite(argument: str, matrix: Tensor) -> None:
    place = first_nonfinite(matrix)
    if place is not None:
        raise ValueError(
            f"{_NAME}: {argument} must be finite; got NaN or infinity at row {place[0]}, column {place[1]}"
        )


def first_nonfinite(matrix: Tensor) -> tuple[int, int] | None:
    """(row, column) of the first NaN or infinity in row-major order, or None."""
    step = max(1, (1 << 22) // max(1, matrix.shape[1]))
    for at in range(0, matrix.shape[0], step):
        bad = ~torch.isfinite(matrix[at : at + step])
        if bad.any():
            row, column = bad.nonzero()[0].tolist()
            return at + row, column
    return None


class _Head:
    """Logits of a block of rows against one chunk of the vocabulary at a time."""

    def __init__(self, weight: Tensor, bias: Tensor | None, scale: float, softcap: float | None, chunk: int) -> None:
        self.weight, self.scale, self.softcap, self.chunk = weight, scale, softcap, chunk
        self.bias = None if bias is None else bias.to(weight.device)

    def starts(self) -> range:
        return range(0, self.weight.shape[0], self.chunk)

    def logits(self, hidden: Tensor, start: int) -> Tensor:
        z = hidden @ self.weight[start : start + self.chunk].float().T
        if not torch.isfinite(z).all():
            refuse_nonfinite(hidden, self.weight)
        if self.bias is not None:
            z += self.bias[start : start + self.chunk]
        if self.scale != 1.0:
            z *= self.scale
        return z if self.softcap is None else z.div_(self.softcap).tanh_().mul_(self.softcap)


def _unembed_block(request: UnembedRequest, head: _Head, every: Tensor, first: int, block: int) -> dict[str, Tensor]:
    """Answer the ``block`` rows of ``every`` hidden row that begin at ``first``."""
    mine = slice(first, first + block)
    k, table, entropy = request.k, request.token_sets, request.entropy
    targets = None if request.targets is None else tensor(request.targets[mine])
    divergence = None
    if request.references is not None:
        divergence = Divergence(head.logits, every, request.references[mine], first)
    hidden = every[mine].float()
    rows, device = hidden.shape[0], hidden.device
    best = torch.empty(rows, 0, dtype=torch.int64, device=device)
    logsumexp = torch.full((rows,), -torch.inf, device=device, dtype=torch.float32)
    negative_entropy = torch.zeros_like(logsumexp)
    sets = 0 if table is None else table.sets
    mass = torch.full((rows, sets), -torch.inf, device=device, dtype=torch.float32)
    ids = torch.empty(rows, 0, dtype=torch.int64, device=device) if targets is None else targets.to(device)
    target_logits, ranks = torch.zeros_like(ids, dtype=torch.float32), torch.zeros_like(ids)
    # A rank needs the target's logit first, so the chunks that hold targets are computed once before.
    for start in head.starts() if ids.numel() else ():
        here = (ids >= start) & (ids < start + head.chunk)
        if here.any():
            found = head.logits(hidden, start).gather(1, torch.where(here, ids - start, 0))
            target_logits = torch.where(here, found, target_logits)
    for start in head.starts():
        z = head.logits(hidden, start)
        here_lse = z.logsumexp(1)
        raised = torch.logaddexp(logsumexp, here_lse)
        if entropy:
            relative = z - here_lse[:, None]
            parts = (negative_entropy, logsumexp), ((relative.exp() * relative).sum(1), here_lse)
            negative_entropy = sum((_weighted(value, lse - raised) for value, lse in parts), torch.zeros_like(raised))
        logsumexp = raised
        if divergence is not None:
            divergence.add(z, start)
        for t in range(ids.shape[1]):
            bound, position = target_logits[:, t : t + 1], ids[:, t : t + 1] - start
            places = torch.arange(z.shape[1], device=device)
            ranks[:, t] += ((z > bound) | ((z == bound) & (places < position))).sum(1)
        if table is not None:
            mass = torch.logaddexp(mass, _set_mass(z, table, first, start))
        keys = torch.cat([best, order_keys(z, start)], dim=1)
        best = keys.topk(min(k, keys.shape[1]), dim=1, sorted=True).values
    return split_order_keys(best) | {
        "logsumexp": logsumexp,
        "target_logits": target_logits,
        "target_ranks": ranks,
        "set_logprobs": mass - logsumexp[:, None],
        "entropy": (-negative_entropy).clamp_min(0.0) if entropy else logsumexp[:0],
        "kl": logsumexp[:0] if divergence is None else divergence.result(),
    }


def _weighted(value: Tensor, shift: Tensor) -> Tensor:
    # The sum of p log p over a part of the vocabulary that holds e^shift of the mass; a part not yet seen holds none.
    share = shift.exp()
    return torch.where(share > 0, share * (value + shift), 0.0)


def order_keys(z: Tensor, start: int) -> Tensor:
    """One int64 per logit: keys in descending order are logits descending, then ids ascending.

    ``torch.topk`` promises no order among equals, so it selects among these keys.
    """
    raw = (z + 0.0).view(torch.int32)  # adding zero makes -0 and +0 one logit
    ordered = torch.where(raw >= 0, raw, raw ^ 0x7FFFFFFF).to(torch.int64)
    return (ordered << 32) | (_LARGEST_ID - start - torch.arange(z.shape[1], device=z.device))


def split_order_keys(keys: Tensor) -> dict[str, Tensor]:
    """The ids and logits of ``order_keys``."""
    ordered = (keys >> 32).to(torch.int32)
    logits = torch.where(ordered >= 0, ordered, ordered ^ 0x7FFFFFFF).view(torch.float32)
    return {"ids": _LARGEST_ID - (keys & 0xFFFFFFFF), "logits": logits}


def _set_mass(z: Tensor, table: TokenSetTable, first: int, start: int) -> Tensor:
    """(rows, sets) log of the sum of exp(z) over each set's ids in this chunk."""
    rows, width = z.shape
    if table.shared:
        members = [table.ids[table.offsets[s] : table.offsets[s + 1]] for s in range(table.sets)]
        chunks = [one[(one >= start) & (one < start + width)] - start for one in members]
        return torch.stack([z[:, tensor(one).to(z.device)].logsumexp(1) for one in chunks], dim=1)
    begin, end = first * table.sets, (first + rows) * table.sets
    ids = table.ids[table.offsets[begin] : table.offsets[end]]
    owners = np.repeat(np.arange(end - begin), np.diff(table.offsets[begin : end + 1]))
    here = (ids >= start) & (ids < start + width)
    owner = tensor(owners[here]).to(z.device)
    values = z[owner // table.sets, tensor(ids[here] - start).to(z.device)]
    top = z.new_full((end - begin,), -torch.inf).scatter_reduce(0, owner, values, "amax")
    total = z.new_zeros(end - begin).index_add(0, owner, (values - top[owner]).exp())
    return (top + total.log()).reshape(rows, table.sets)
