"""What torch does for the CUDA backend: products of rows with tiles of the vocabulary, and asynchronous copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pivotkit.kernels.arrays import tensor


class Products:
    """Multiplies a block of rows by tiles of one width; each product overwrites the one before."""

    def __init__(self, hidden: Tensor, weight: Tensor, tile: int, mixed: bool) -> None:
        self.mixed = mixed
        self.hidden = (hidden if mixed else hidden.float()).contiguous()
        self.weight = weight
        self.z = torch.empty(hidden.shape[0], tile, device=hidden.device, dtype=torch.float32)
        self.wide = None
        if not mixed and weight.dtype != torch.float32:
            self.wide = torch.empty(tile, weight.shape[1], device=hidden.device, dtype=torch.float32)

    def of(self, weights: Tensor) -> Tensor:
        """The float32 products with a tile of the weight."""
        if self.mixed:
            return torch.mm(self.hidden, weights.T, out_dtype=torch.float32, out=self.z)
        if self.wide is not None:
            weights = self.wide.copy_(weights)
        return torch.mm(self.hidden, weights.T, out=self.z)


def gather_targets(products: Products, targets: NDArray[np.int64], out: Tensor) -> None:
    """Write the products of the targets to ``out``: a rank is compared with them before the target's own tile comes."""
    ids, places = np.unique(targets, return_inverse=True)
    places = places.reshape(targets.shape)
    tile, device = products.z.shape[1], out.device
    for begin in range(0, ids.size, tile):
        here = ids[begin : begin + tile]
        padded = to_device(np.pad(here, (0, tile - here.size), mode="edge"), device)
        z = products.of(products.weight.index_select(0, padded))
        inside = (places >= begin) & (places < begin + tile)
        columns, mask = to_device(np.where(inside, places - begin, 0), device), to_device(inside, device)
        out.copy_(torch.where(mask, z.gather(1, columns), out))


def to_device(values: NDArray[Any] | Tensor, device: torch.device) -> Tensor:
    """A copy on the device, queued without waiting; memory is pinned first, since other copies would stop the host."""
    source: Tensor = tensor(values)
    if device.type == "cuda" and source.device.type == "cpu":
        source = source.pin_memory()
    return source.to(device, non_blocking=True)


def sums_in_float32(device: torch.device) -> bool:
    """Whether torch can sum 16-bit products in float32 on the device."""
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    return device.type == "cuda" and (major, minor) >= (2, 8)


def address(values: Tensor | None) -> int:
    """The address of the tensor's memory for the kernels; 0 for None and for an empty tensor."""
    return 0 if values is None or values.numel() == 0 else values.data_ptr()
