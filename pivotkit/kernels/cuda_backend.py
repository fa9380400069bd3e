"""The native unembedding on a CUDA device: torch multiplies tiles of the vocabulary, kernels reduce them in place."""

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
from pivotkit.kernels.token_sets import TokenSetTable

_NAME = "unembed"
_WIDEST_TILE = 1 << 16


def built() -> bool:
    """Whether this build of pivotkit has CUDA kernels."""
    return importlib.util.find_spec("pivotkit._cuda") is not None


def native() -> ModuleType:
    """The module of CUDA kernels, loaded when first asked for."""
    return importlib.import_module("pivotkit._cuda")


@functools.cache
def why_not(device: str) -> str | None:
    """Why the kernels cannot run on that device, or None where they can."""
    if not built():
        return "pivotkit was built without nvcc"
    index = torch.device(device).index or 0
    capability = torch.cuda.get_device_capability(index)
    if capability < (8, 0):
        return f"it has compute capability {capability[0]}.{capability[1]}, below 8.0"
    try:
        native().use_device(index)
    except RuntimeError as error:  # a driver older than the kernels' runtime
        return str(error)
    return None


def unembed(
    hidden: Tensor,
    weight: Tensor,
    k: int,
    bias: Tensor | None,
    logit_scale: float,
    softcap: float | None,
    targets: NDArray[np.int64] | None,
    table: TokenSetTable | None,
    entropy: bool,
    workspace: int,
    kernels: ModuleType | None = None,
) -> dict[str, Tensor]:
    """Queue everything on the current stream and wait once, for the flag of a value that is not finite.

    ``pivotkit.kernels.unembed`` checks and shapes the arguments. ``workspace`` bounds what is allocated beside the
    outputs, the arguments' copies on the device, and what cuBLAS keeps.
    """
    torch_backend.check_ids(weight.shape[0], targets, table)
    current = torch.cuda.device(hidden.device) if hidden.is_cuda else contextlib.nullcontext()
    with current, torch_backend.full_precision:
        call = _Call(kernels or native(), hidden, weight, k, bias, logit_scale, softcap, targets, table, workspace)
        out = call.outputs(entropy)
        for at in range(0, hidden.shape[0], call.plan.block):
            call.run(at, {name: value[at : at + call.plan.block] for name, value in out.items()})
        if call.nonfinite.item():
            torch_backend.refuse_nonfinite(hidden, weight, bias)
    return out


@dataclass(frozen=True)
class _Plan:
    """How a call is cut: rows that pass the weight together, and ids of a tile (0: few rows, no tile)."""

    block: int
    tile: int
    segments: int


class _Call:
    """What all blocks of rows of one call share."""

    def __init__(
        self,
        kernels: ModuleType,
        hidden: Tensor,
        weight: Tensor,
        k: int,
        bias: Tensor | None,
        scale: float,
        softcap: float | None,
        targets: NDArray[np.int64] | None,
        table: TokenSetTable | None,
        workspace: int,
    ) -> None:
        self.kernels, self.hidden, self.weight, self.k = kernels, hidden, weight, k
        self.device = hidden.device
        self.targets, self.table = targets, table
        self.each = 0 if targets is None else targets.shape[1]
        self.sets = 0 if table is None else table.sets
        self.kept = k if k <= kernels.MOST_K else 0  # above it, torch selects
        # Sixteen-bit products summed in float32 are CUDA's alone, and of torch 2.8 and later.
        self.mixed = hidden.dtype == weight.dtype != torch.float32 and _sums_in_float32(self.device)
        self.plan = self._plan(workspace)
        self.bias = None if bias is None else _to_device(bias.contiguous(), self.device)
        self.head = kernels.Head(_address(self.bias), scale, softcap or 0.0)
        self.shared_sets: tuple[Tensor | None, Tensor | None] = (None, None)
        if table is not None and table.shared:
            self.shared_sets = _to_device(table.ids, self.device), _to_device(table.offsets, self.device)
        self.nonfinite = torch.zeros(1, dtype=torch.int32, device=self.device)
        kernels.use_device(self.device.index or 0)
        self.stream = torch.cuda.current_stream(self.device).cuda_stream if self.device.type == "cuda" else 0

    def _plan(self, workspace: int) -> _Plan:
        rows, (vocabulary, dim) = max(self.hidden.shape[0], 1), self.weight.shape
        few = self.kernels.few_segments(vocabulary)
        if rows <= self.kernels.FEW_ROWS and self.kept and self._state_bytes(rows, few) <= workspace - 64 * dim:
            return _Plan(rows, 0, few)
        widened = 0 if self.mixed else 4 * dim * (self.weight.dtype != torch.float32)
        gathered = dim * self.weight.element_size() if self.each else 0
        as_it_is = self.hidden.is_contiguous() and (self.mixed or self.hidden.dtype == torch.float32)
        fixed_row = (0 if as_it_is else 4 * dim) + 48 * self.each
        # Torch's topk selects among keys of eight bytes, and takes a few of each.
        per_logit = 4 if self.kept else 44
        if not self.kept:
            fixed_row += 72 * self.k
        step, plan = self.kernels.TILE_IDS, _Plan(0, 0, 0)
        for width in (*range(_WIDEST_TILE, step, -step), *(step >> halved for halved in range(6))):
            tile = min(vocabulary, width)
            segments = -(-tile // step)
            # One tile holds every target's product: none is gathered.
            fixed = tile * (widened + (gathered if tile < vocabulary else 0))
            block = (workspace - fixed) // (self._state_bytes(1, segments) + fixed_row + per_logit * tile)
            plan = _Plan(min(block, rows, 65_535), tile, segments)
            # Narrow tiles make slow products: below `step`, rather read the weight more often.
            if block >= min(rows, 2048 if width > step else 256, max(workspace // 2 // max(fixed_row, 1), 1)):
                break
        if plan.block < 1:
            raise ValueError(f"{_NAME}: workspace must hold {plan.tile} ids of {dim}; got {workspace} bytes")
        return plan

    def _state_bytes(self, rows: int, segments: int) -> int:
        return int(self.kernels.state_bytes(rows, segments, self.kept, self.each, self.sets))

    def _floats(self, *shape: int) -> Tensor:
        return torch.empty(shape, device=self.device, dtype=torch.float32)

    def _integers(self, *shape: int) -> Tensor:
        return torch.empty(shape, device=self.device, dtype=torch.int64)

    def outputs(self, entropy: bool) -> dict[str, Tensor]:
        """Room for all rows, in the order in which the kernels take them."""
        rows = self.hidden.shape[0]
        return {
            "ids": self._integers(rows, self.k),
            "logits": self._floats(rows, self.k),
            "logsumexp": self._floats(rows),
            "target_logits": self._floats(rows, self.each),
            "target_ranks": self._integers(rows, self.each),
            "set_logprobs": self._floats(rows, self.sets),
            "entropy": self._floats(rows if entropy else 0),
        }

    def run(self, at: int, out: dict[str, Tensor]) -> None:
        """Answer the block of rows that begins at ``at``, into its part of the outputs."""
        hidden = self.hidden[at : at + self.plan.block]
        count, targets = hidden.shape[0], None if self.targets is None else self.targets[at : at + self.plan.block]
        target_ids = self._integers(count, 0) if targets is None else _to_device(targets, self.device)
        target_products = self._floats(count, self.each)
        set_ids, set_offsets = self._sets(at, count)
        rows = self.kernels.Rows(
            count, self.each, _address(target_ids), _address(target_products), _address(set_ids),
            _address(set_offsets), self.sets, self.table is not None and self.table.shared,
        )  # fmt: skip
        segments = self.plan.segments
        block = torch.zeros(self._state_bytes(count, segments), dtype=torch.uint8, device=self.device)
        state = self.kernels.State(
            _address(block), _address(self.nonfinite), count, segments, self.kept, self.each, self.sets
        )
        best = None
        if self.plan.tile:
            best = self._tiles(hidden, targets, target_ids, target_products, rows, state)
        else:
            self._few(hidden, rows, state)
        self.kernels.finish(self.head, rows, state, *map(_address, out.values()), self.stream)
        if best is not None:
            for name, value in torch_backend.split_order_keys(best).items():
                out[name].copy_(value)

    def _sets(self, at: int, count: int) -> tuple[Tensor | None, Tensor | None]:
        """The ids of these rows' sets and the offsets into them, on the device."""
        if self.table is None or self.table.shared or self.sets == 0:
            return self.shared_sets
        offsets = self.table.offsets[at * self.sets : (at + count) * self.sets + 1]
        ids = self.table.ids[offsets[0] : offsets[-1]]
        return _to_device(ids, self.device), _to_device(offsets - offsets[0], self.device)

    def _few(self, hidden: Tensor, rows: Any, state: Any) -> None:
        padded = self._floats(self.kernels.FEW_ROWS, hidden.shape[1]).zero_()
        padded[: hidden.shape[0]] = hidden
        self.kernels.reduce_few(
            _address(padded), _address(self.weight), str(self.weight.dtype).removeprefix("torch."),
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
    ) -> Tensor | None:
        """All tiles of the vocabulary in turn; order keys of the best where torch selects.

        Tiles have one width, so that every product comes of the same kernel: the last one begins early and skips what
        was seen.
        """
        vocabulary, tile = self.weight.shape[0], self.plan.tile
        products = _Products(hidden, self.weight, tile, self.mixed)
        if targets is not None and targets.size and tile < vocabulary:
            _gather_targets(products, targets, target_products)
        best = self._integers(hidden.shape[0], 0)
        for begin in range(0, vocabulary, tile):
            first = min(begin, vocabulary - tile)
            z = products.of(self.weight[first : first + tile])
            if tile == vocabulary:
                torch.gather(z, 1, target_ids, out=target_products)
            self.kernels.reduce_tile(
                _address(z), z.stride(0), first, tile, begin - first, not self.kept, self.head, rows, state, self.stream
            )
            if not self.kept:
                keys = torch.cat([best, torch_backend.order_keys(z[:, begin - first :], begin)], dim=1)
                best = keys.topk(min(self.k, keys.shape[1]), dim=1, sorted=True).values
        return None if self.kept else best


class _Products:
    """Products of a block of rows with tiles of one width, into one matrix that the next tile overwrites."""

    def __init__(self, hidden: Tensor, weight: Tensor, tile: int, mixed: bool) -> None:
        self.mixed = mixed
        self.hidden = (hidden if mixed else hidden.float()).contiguous()
        self.weight = weight
        self.z = torch.empty(hidden.shape[0], tile, device=hidden.device, dtype=torch.float32)
        self.wide = None
        if not mixed and weight.dtype != torch.float32:
            self.wide = torch.empty(tile, weight.shape[1], device=hidden.device, dtype=torch.float32)

    def of(self, weights: Tensor) -> Tensor:
        if self.mixed:
            return torch.mm(self.hidden, weights.T, out_dtype=torch.float32, out=self.z)
        if self.wide is not None:
            weights = self.wide.copy_(weights)
        return torch.mm(self.hidden, weights.T, out=self.z)


def _gather_targets(products: _Products, targets: NDArray[np.int64], out: Tensor) -> None:
    """Products of the targets, from tiles of their weights: a rank compares with them before their own tile comes."""
    ids, places = np.unique(targets, return_inverse=True)
    places = places.reshape(targets.shape)
    tile, device = products.z.shape[1], out.device
    for begin in range(0, ids.size, tile):
        here = ids[begin : begin + tile]
        padded = _to_device(np.pad(here, (0, tile - here.size), mode="edge"), device)
        z = products.of(products.weight.index_select(0, padded))
        inside = (places >= begin) & (places < begin + tile)
        columns, mask = _to_device(np.where(inside, places - begin, 0), device), _to_device(inside, device)
        out.copy_(torch.where(mask, z.gather(1, columns), out))


def _to_device(values: NDArray[Any] | Tensor, device: torch.device) -> Tensor:
    """Queued, not waited for: a copy from memory that is not pinned would stop the host."""
    source: Tensor = tensor(values)
    if device.type == "cuda" and source.device.type == "cpu":
        source = source.pin_memory()
    return source.to(device, non_blocking=True)


def _sums_in_float32(device: torch.device) -> bool:
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    return device.type == "cuda" and (major, minor) >= (2, 8)


def _address(values: Tensor | None) -> int:
    return 0 if values is None or values.numel() == 0 else values.data_ptr()
