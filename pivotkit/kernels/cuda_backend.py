"""The native unembedding on a CUDA device: torch multiplies tiles of the vocabulary, kernels reduce the products."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pivotkit.kernels import torch_backend
from pivotkit.kernels.arrays import tensor
from pivotkit.kernels.cuda_products import Products, address, gather_targets, sums_in_float32, to_device
from pivotkit.kernels.request import UnembedRequest
from pivotkit.kernels.torch_divergence import refuse_overflow

_NAME = "unembed"
_WIDEST_TILE = 1 << 16


def built() -> bool:
    """Whether this build of pivotkit includes the CUDA kernels."""
    return importlib.util.find_spec("pivotkit._cuda") is not None


def native() -> ModuleType:
    """The module of CUDA kernels, loaded at the first call."""
    return importlib.import_module("pivotkit._cuda")


@functools.cache
def why_not(device: str) -> str | None:
    """Why the kernels cannot run on the device; None where they can."""
    if not built():
        return "pivotkit was built without its CUDA kernels"
    index = torch.device(device).index or 0
    capability = torch.cuda.get_device_capability(index)
    if capability < (8, 0):
        return f"it has compute capability {capability[0]}.{capability[1]}, below 8.0"
    try:
        native().use_device(index)
    except RuntimeError as error:  # a driver older than the kernels' runtime
        return str(error)
    return None


def unembed(request: UnembedRequest, kernels: ModuleType | None = None) -> dict[str, Tensor]:
    """Queue the whole call on the current stream and wait once, for the flags of values that are not finite.

    ``request.workspace`` bounds what is allocated beyond the outputs, the copies of arguments on the device, and what
    cuBLAS keeps. ``kernels`` is the module of CUDA kernels, by default the one that was built.

    Returns
    -------
    dict
        Tensors by the names of ``Unembedded``, on the device of ``hidden``.
    """
    hidden, weight = tensor(request.hidden), tensor(request.weight)
    torch_backend.check_ids(weight.shape[0], request.targets, request.token_sets)
    torch_backend.check_references(hidden.shape[0], request.references)
    current = torch.cuda.device(hidden.device) if hidden.is_cuda else contextlib.nullcontext()
    with current, torch_backend.full_precision:
        call = _Call(request, kernels or native())
        out = call.outputs()
        for at in range(0, hidden.shape[0], call.plan.block):
            call.run(at, {name: value[at : at + call.plan.block] for name, value in out.items()})
        logit, divergence = call.nonfinite.tolist()
        if logit:
            torch_backend.refuse_nonfinite(hidden, weight, call.bias)
        if divergence:
            refuse_overflow()
    return out


@dataclass(frozen=True)
class _Plan:
    """How a call is cut into blocks of rows and tiles of the vocabulary."""

    block: int  # rows that are multiplied by the weight together
    tile: int  # ids of the vocabulary per tile; 0 for few rows, which need no tile
    segments: int


class _Call:
    """What all blocks of rows of one call share."""

    def __init__(self, request: UnembedRequest, kernels: ModuleType) -> None:
        self.kernels, self.k, self.entropy = kernels, request.k, request.entropy
        self.hidden, self.weight = tensor(request.hidden), tensor(request.weight)
        self.device = self.hidden.device
        self.targets, self.table, self.references = request.targets, request.token_sets, request.references
        self.targets_per_row = 0 if self.targets is None else self.targets.shape[1]
        self.sets = 0 if self.table is None else self.table.sets
        self.kernel_k = self.k if self.k <= kernels.MOST_K else 0  # above MOST_K, torch selects
        # Only CUDA, and torch from 2.8 on, sums 16-bit products in float32.
        self.mixed = self.hidden.dtype == self.weight.dtype != torch.float32 and sums_in_float32(self.device)
        self.plan = self._plan(request.workspace)
        self.bias = None if request.bias is None else to_device(tensor(request.bias).contiguous(), self.device)
        self.head = kernels.Head(address(self.bias), request.logit_scale, request.softcap or 0.0)
        self.shared_sets: tuple[Tensor | None, Tensor | None] = (None, None)
        if self.table is not None and self.table.shared:
            self.shared_sets = to_device(self.table.ids, self.device), to_device(self.table.offsets, self.device)
        self.nonfinite = torch.zeros(2, dtype=torch.int32, device=self.device)
        kernels.use_device(self.device.index or 0)
        self.stream = torch.cuda.current_stream(self.device).cuda_stream if self.device.type == "cuda" else 0

    def _plan(self, workspace: int) -> _Plan:
        rows, (vocabulary, dim) = max(self.hidden.shape[0], 1), self.weight.shape
        few, alone = self.kernels.few_segments(vocabulary), self.kernel_k and self.references is None
        if rows <= self.kernels.FEW_ROWS and alone and self._state_bytes(rows, few) <= workspace - 64 * dim:
            return _Plan(rows, 0, few)
        widened = 0 if self.mixed else 4 * dim * (self.weight.dtype != torch.float32)
        gathered = dim * self.weight.element_size() if self.targets_per_row else 0
        size = self.hidden.element_size()
        as_it_is = self.hidden.is_contiguous() and (self.mixed or self.hidden.dtype == torch.float32)
        fixed_row = (0 if as_it_is else 4 * dim) + 48 * self.targets_per_row + 16 * (self.references is not None)
        # torch.topk selects among keys of eight bytes, and allocates a few more of each.
        per_logit = 4 if self.kernel_k else 44
        if not self.kernel_k:
            fixed_row += 72 * self.k
        step, plan = self.kernels.TILE_IDS, _Plan(0, 0, 0)
        for width in (*range(_WIDEST_TILE, step, -step), *(step >> halved for halved in range(6))):
            tile = min(vocabulary, width)
            segments = -(-tile // step)
            # A single tile holds the product of every target, so none is gathered.
            fixed = tile * (widened + (gathered if tile < vocabulary else 0))
            each = self._state_bytes(1, segments) + fixed_row + per_logit * tile
            block = (workspace - fixed) // each
            if self.references is not None and block < rows:
                # A block is copied together with references from other blocks: at most one per row.
                block = (workspace - fixed) // (each + 4 * tile + 2 * dim * size + (0 if self.mixed else 8 * dim))
            plan = _Plan(min(block, rows, 65_535), tile, segments)
            # Products of narrow tiles are slow: below `step`, reading the weight more often is faster.
            if block >= min(rows, 2048 if width > step else 256, max(workspace // 2 // max(fixed_row, 1), 1)):
                break
        if plan.block < 1:
            raise ValueError(f"{_NAME}: workspace must hold {plan.tile} ids of {dim}; got {workspace} bytes")
        return plan

    def _state_bytes(self, rows: int, segments: int) -> int:
        compared = self.references is not None
        return int(self.kernels.state_bytes(rows, segments, self.kernel_k, self.targets_per_row, self.sets, compared))

    def _floats(self, *shape: int) -> Tensor:
        return torch.empty(shape, device=self.device, dtype=torch.float32)

    def _integers(self, *shape: int) -> Tensor:
        return torch.empty(shape, device=self.device, dtype=torch.int64)

    def outputs(self) -> dict[str, Tensor]:
        """Empty outputs for all rows, in the order in which the kernels take them."""
        rows = self.hidden.shape[0]
        return {
            "ids": self._integers(rows, self.k),
            "logits": self._floats(rows, self.k),
            "logsumexp": self._floats(rows),
            "target_logits": self._floats(rows, self.targets_per_row),
            "target_ranks": self._integers(rows, self.targets_per_row),
            "set_logprobs": self._floats(rows, self.sets),
            "entropy": self._floats(rows if self.entropy else 0),
            "kl": self._floats(0 if self.references is None else rows),
        }

    def run(self, at: int, out: dict[str, Tensor]) -> None:
        """Answer the block of rows that begins at ``at``; ``out`` is its part of the outputs."""
        hidden = self.hidden[at : at + self.plan.block]
        count, targets = hidden.shape[0], None if self.targets is None else self.targets[at : at + self.plan.block]
        target_ids = self._integers(count, 0) if targets is None else to_device(targets, self.device)
        target_products = self._floats(count, self.targets_per_row)
        set_ids, set_offsets = self._sets(at, count)
        hidden, places = self._with_references(hidden, at)
        rows = self.kernels.Rows(
            count, self.targets_per_row, address(target_ids), address(target_products), address(set_ids),
            address(set_offsets), self.sets, self.table is not None and self.table.shared, address(places),
        )  # fmt: skip
        segments = self.plan.segments
        block = torch.zeros(self._state_bytes(count, segments), dtype=torch.uint8, device=self.device)
        state = self.kernels.State(
            address(block), address(self.nonfinite), count, segments, self.kernel_k, self.targets_per_row, self.sets,
            places is not None,
        )  # fmt: skip
        best = None
        if self.plan.tile:
            best = self._tiles(hidden, targets, target_ids, target_products, rows, state, places is not None)
        else:
            self._few(hidden, rows, state)
        self.kernels.finish(self.head, rows, state, *map(address, out.values()), self.stream)
        if best is not None:
            for name, value in torch_backend.split_order_keys(best).items():
                out[name].copy_(value)

    def _sets(self, at: int, count: int) -> tuple[Tensor | None, Tensor | None]:
        """The ids of these rows' sets and the offsets into them, on the device."""
        if self.table is None or self.table.shared or self.sets == 0:
            return self.shared_sets
        offsets = self.table.offsets[at * self.sets : (at + count) * self.sets + 1]
        ids = self.table.ids[offsets[0] : offsets[-1]]
        return to_device(ids, self.device), to_device(offsets - offsets[0], self.device)

    def _with_references(self, hidden: Tensor, at: int) -> tuple[Tensor, Tensor | None]:
        """The rows, followed by their references from other blocks, and the index of each row's reference."""
        if self.references is None:
            return hidden, None
        places = self.references[at : at + self.plan.block] - at
        elsewhere = (places < 0) | (places >= places.size)
        guests, index = np.unique(places[elsewhere] + at, return_inverse=True)
        if guests.size:
            places[elsewhere] = places.size + index
            hidden = torch.cat([hidden, self.hidden.index_select(0, to_device(guests, self.device))])
        return hidden, to_device(places, self.device)

    def _few(self, hidden: Tensor, rows: Any, state: Any) -> None:
        padded = self._floats(self.kernels.FEW_ROWS, hidden.shape[1]).zero_()
        padded[: hidden.shape[0]] = hidden
        self.kernels.reduce_few(
            address(padded), address(self.weight), str(self.weight.dtype).removeprefix("torch."),
            self.weight.stride(0), self.weight.shape[1], self.weight.shape[0], self.head, rows, state, self.stream,
        )  # fmt: skip

    def _tiles(
        self,
        hidden: Tensor,
        targets: NDArray[np.int64] | None,
        target_ids: Tensor,
        target_products: Tensor,
        rows: Any,
        state: Any,
        compared: bool,
    ) -> Tensor | None:
        """Reduce all tiles of the vocabulary in turn; returns order keys of the best where torch selects.

        All tiles have one width, so that one kernel computes every product. The last tile begins early and skips the
        ids of the tile before it.
        """
        vocabulary, tile = self.weight.shape[0], self.plan.tile
        products = Products(hidden, self.weight, tile, self.mixed)
        if targets is not None and targets.size and tile < vocabulary:
            gather_targets(products, targets, target_products)
        count = target_ids.shape[0]
        best = self._integers(count, 0)
        for begin in range(0, vocabulary, tile):
            first = min(begin, vocabulary - tile)
            z = products.of(self.weight[first : first + tile])
            if tile == vocabulary:
                torch.gather(z, 1, target_ids, out=target_products)
            if compared:
                self.kernels.diverge_tile(
                    address(z), z.stride(0), first, tile, begin - first, self.head, rows, state, self.stream
                )
            self.kernels.reduce_tile(
                address(z), z.stride(0), first, tile, begin - first, not self.kernel_k, self.head, rows, state,
                self.stream,
            )  # fmt: skip
            if not self.kernel_k:
                keys = torch.cat([best, torch_backend.order_keys(z[:count, begin - first :], begin)], dim=1)
                best = keys.topk(min(self.k, keys.shape[1]), dim=1, sorted=True).values
        return None if self.kernel_k else best
