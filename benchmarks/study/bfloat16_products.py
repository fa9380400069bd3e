"""Products of bfloat16 on a processor that has no instructions for them, where torch's own take twenty times as long.

A product of two bfloat16 is exact in float32, and processors with tiles sum them in float32 and round once. So does this:
both sides to float32, the float32 product, the result to bfloat16. Sums differ in their order alone. Attention is computed
in float32 as a whole, so its weights are not rounded between softmax and product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

aten = torch.ops.aten
ATTENTION = aten._scaled_dot_product_flash_attention_for_cpu
PRODUCTS = {
    aten.mm.default,
    aten.addmm.default,
    aten.bmm.default,
    aten.baddbmm.default,
    ATTENTION.default,
    aten._scaled_dot_product_flash_attention_for_cpu_backward.default,
}


class ProductsInFloat32(TorchDispatchMode):
    """While active: products of bfloat16 by float32, rounded to bfloat16."""

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in PRODUCTS or args[0].dtype != torch.bfloat16:
            return func(*args, **kwargs)
        own, named = tree_map_only(torch.Tensor, _widened, (args, kwargs))
        found = func(*own, **named)
        if func is ATTENTION.default:  # its second result, logarithms of sums, is float32 in torch too
            return found[0].bfloat16(), *found[1:]
        return tree_map_only(torch.Tensor, torch.Tensor.bfloat16, found)


def missing() -> bool:
    """Whether torch has no fast products of bfloat16 here."""
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
