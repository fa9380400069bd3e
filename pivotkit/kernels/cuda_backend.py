"""The native unembedding on a CUDA device: torch multiplies tiles of the vocabulary, kernels reduce them in place."""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pivotkit.errors import BackendUnavailable
from pivotkit.kernels import torch_backend
from pivotkit.kernels.arrays import tensor
from pivotkit.kernels.token_sets import TokenSetTable

_NAME = "unembed"
_WIDEST_TILE = 1 << 16


def native() -> ModuleType:
    """The module of CUDA kernels, loaded when first asked for; BackendUnavailable where this build has none."""
    try:
        return importlib.import_module("pivotkit._cuda")
    except ImportError as error:
        raise BackendUnavailable(
            f"{_NAME}: backend must be 'torch' on CUDA where pivotkit was built without nvcc; got 'cuda' ({error})"
        ) from error


def unembed(
    hidden: Tensor,
    weight: Tensor,
    k: int,
    bias: NDArray[np.float32] | None,
    logit_scale: float,
    softcap: float | None,
    targets: NDArray[np.int64] | None,
    table: TokenSetTable | None,
    entropy: bool,
    workspace: int,
    kernels: ModuleType | None = None,
) -> dict[str, Tensor]:
    """Queue everything on the current stream and wait once, for the flag of a value that is not finite.

    ``pivotkit.kernels.unembed`` checks and shapes the arguments. Products are of float32, or of 16-bit values summed in
    float32; TF32 is off while they run. ``workspace`` bounds what is allocated beside the outputs and what cuBLAS keeps.
    """
    torch_backend.check_bias_and_ids(weight.shape[0], bias, targets, table)
    current = torch.cuda.device(hidden.device) if hidden.is_cuda else contextlib.nullcontext()
    with current, torch_backend.full_precision():
        call = _Call(kernels or native(), hidden, weight, k, bias, logit_scale, softcap, targets, table, workspace)
        blocks = [call.run(at, entropy) for at in range(0, max(hidden.shape[0], 1), call.plan.block)]
        if call.nonfinite.item():
            torch_backend.refuse_nonfinite(hidden, weight)
    return {name: torch.cat([one[name] for one in blocks]) for name in blocks[0]} if len(blocks) > 1 else blocks[0]


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
        bias: NDArray[np.float32] | None,
        scale: float,
        softcap: float | None,
        targets: NDArray[np.int64] | None,
        table: TokenSetTable | None,
        workspace: int,
    ) -> None:
        self.kernels, self.hidden, self.weight, self.k = kernels, hidden, weight, k
        self.device = hidden.device
        self.targets, self.table = targets, table
        self.sets = 0 if table is None else table.sets
        self.own_top_k = k <= kernels.MOST_K
        # Sixteen-bit products summed in float32 are CUDA's alone, and of torch 2.8 and later.
        self.mixed = hidden.dtype == weight.dtype != torch.float32 and _sums_in_float32(self.device)
        self.plan = self._plan(workspace)
        self.bias = None if bias is None else _to_device(bias, self.device)
        self.head = kernels.Head(_address(self.bias), scale, softcap or 0.0)
        self.nonfinite = torch.zeros(1, dtype=torch.int32, device=self.device)
        kernels.use_device(self.device.index or 0)
        self.stream = torch.cuda.current_stream(self.device).cuda_stream if self.device.type == "cuda" else 0

    def _plan(self, workspace: int) -> _Plan:
        rows, (vocabulary, dim) = self.hidden.shape[0], self.weight.shape
        count = 0 if self.targets is None else self.targets.shape[1]
        kept = self.k if self.own_top_k else 0

        def state(rows: int, segments: int) -> int:
            return int(self.kernels.state_bytes(rows, segments, kept, count, self.sets))

        few = self.kernels.few_segments(vocabulary)
        if rows <= self.kernels.FEW_ROWS and self.own_top_k and state(rows, few) <= workspace - 64 * dim:
            return _Plan(max(rows, 1), 0, few)
        widened = 0 if self.mixed else 4 * dim * (self.weight.dtype != torch.float32)
        gathered = dim * self.weight.element_size() if count else 0
        as_it_is = self.hidden.is_contiguous() and (self.mixed or self.hidden.dtype == torch.float32)
        wide_row = 0 if as_it_is else 4 * dim
        # Above the kernels' own top k, torch's topk selects among keys of eight bytes, and takes a few of each.
        per_logit = 4 if self.own_top_k else 44
        step, best = self.kernels.TILE_IDS, _Plan(0, 0, 0)
        for width in range(_WIDEST_TILE, step - 1, -step):
            tile = min(vocabulary, width)
            segments = -(-tile // step)
            per_row = (
                state(1, segments) + wide_row + per_logit * tile + 16 * count + (0 if self.own_top_k else 32 * self.k)
            )
            block = min((workspace - tile * (widened + gathered)) // per_row, 65_535)
            best = _Plan(min(block, max(rows, 1)), tile, segments)
            if block >= min(max(rows, 1), 2048):
                break
        if best.block < 1:
            raise ValueError(f"{_NAME}: workspace must hold a tile of {step} ids of {dim}; got {workspace} bytes")
        return best

    def run(self, at: int, entropy: bool) -> dict[str, Tensor]:
        hidden = self.hidden[at : at + self.plan.block]
        count, device = hidden.shape[0], self.device
        targets = None if self.targets is None else self.targets[at : at + self.plan.block]
        each = 0 if targets is None else targets.shape[1]

        def floats(*shape: int) -> Tensor:
            return torch.empty(shape, device=device, dtype=torch.float32)

        def integers(*shape: int) -> Tensor:
            return torch.empty(shape, device=device, dtype=torch.int64)

        target_ids = integers(count, 0) if targets is None else _to_device(targets, device)
        target_products = floats(count, each).zero_()
        set_ids, set_offsets = self._sets(at, count)
        rows = self.kernels.Rows(
            count, each, _address(target_ids), _address(target_products), _address(set_ids), _address(set_offsets),
            self.sets, self.table is not None and self.table.shared,
        )  # fmt: skip
        kept, segments = self.k if self.own_top_k else 0, self.plan.segments
        size = self.kernels.state_bytes(count, segments, kept, each, self.sets)
        block = torch.zeros(size, dtype=torch.uint8, device=device)
        state = self.kernels.State(_address(block), _address(self.nonfinite), count, segments, kept, each, self.sets)
        best = None
        if self.plan.tile:
            best = self._tiles(hidden, targets, target_products, rows, state)
        elif count:
            self._few(hidden, rows, state)
        out = {
            "ids": integers(count, self.k),
            "logits": floats(count, self.k),
            "logsumexp": floats(count),
            "target_logits": floats(count, each),
            "target_ranks": integers(count, each),
            "set_logprobs": floats(count, self.sets),
            "entropy": floats(count if entropy else 0),
        }
        self.kernels.finish(self.head, rows, state, *map(_address, out.values()), self.stream)
        if best is not None:
            out |= torch_backend.split_order_keys(best)
        return out

    def _sets(self, at: int, count: int) -> tuple[Tensor | None, Tensor | None]:
        """The table's ids and the offsets of these rows, on the device."""
        if self.table is None or self.table.sets == 0:
            return None, None
        offsets, ids = self.table.offsets, self.table.ids
        if not self.table.shared:
            offsets = offsets[at * self.sets : (at + count) * self.sets + 1]
            ids, offsets = ids[offsets[0] : offsets[-1]], offsets - offsets[0]
        return _to_device(ids, self.device), _to_device(offsets, self.device)

    def _few(self, hidden: Tensor, rows: Any, state: Any) -> None:
        padded = torch.zeros(self.kernels.FEW_ROWS, hidden.shape[1], device=self.device)
        padded[: hidden.shape[0]] = hidden
        self.kernels.reduce_few(
            _address(padded), _address(self.weight), str(self.weight.dtype).removeprefix("torch."),
            self.weight.stride(0), self.weight.shape[1], self.weight.shape[0], self.head, rows, state, self.stream,
        )  # fmt: skip

    def _tiles(
        self, hidden: Tensor, targets: NDArray[np.int64] | None, target_products: Tensor, rows: Any, state: Any
    ) -> Tensor | None:
        """All tiles of the vocabulary in turn. They have one width, so that equal weights have products of equal bits:
        the last one begins early and skips what was seen. Order keys of the best where k is above the kernels' own."""
        vocabulary, tile = self.weight.shape[0], self.plan.tile
        products = _Products(hidden, self.weight, tile, self.mixed)
        if targets is not None and targets.size:
            _gather_targets(products, targets, target_products)
        best = torch.empty(hidden.shape[0], 0, dtype=torch.int64, device=self.device)
        for begin in range(0, vocabulary, tile):
            first = min(begin, vocabulary - tile)
            z = products.of(self.weight[first : first + tile])
            self.kernels.reduce_tile(
                _address(z), z.stride(0), first, tile, begin - first, not self.own_top_k, self.head, rows, state,
                self.stream,
            )  # fmt: skip
            if not self.own_top_k:
                keys = torch.cat([best, torch_backend.order_keys(z[:, begin - first :], begin)], dim=1)
                best = keys.topk(min(self.k, keys.shape[1]), dim=1, sorted=True).values
        return None if self.own_top_k else best


class _Products:
    """Products of a block of rows with tiles of one width, into one matrix that the next tile overwrites."""

    def __init__(self, hidden: Tensor, weight: Tensor, tile: int, mixed: bool) -> None:
        self.mixed = mixed
        self.hidden = (hidden if mixed else hidden.float()).contiguous()
        self.weight = weight
        self.z = torch.empty(hidden.shape[0], tile, device=hidden.device)
        self.wide = None
        if not mixed and weight.dtype != torch.float32:
            self.wide = torch.empty(tile, weight.shape[1], device=hidden.device)

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


def _to_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """Queued, not waited for: a copy from memory that is not pinned would stop the host."""
    host = tensor(values)
    copied: Tensor = host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host
    return copied


def _sums_in_float32(device: torch.device) -> bool:
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    return device.type == "cuda" and (major, minor) >= (2, 8)


def _address(values: Tensor | None) -> int:
    return 0 if values is None or values.numel() == 0 else values.data_ptr()
