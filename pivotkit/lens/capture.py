"""Hidden states of chosen layers, kept only at the wanted positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pivotkit.lens.head import LensHead


@torch.inference_mode()
def capture(
    head: LensHead,
    input_ids: torch.Tensor,
    positions: Sequence[tuple[int, int]],
    *,
    layers: Sequence[int] | None = None,
    past: Any = None,
) -> torch.Tensor:
    """Run the base model once and keep the residual stream at ``positions``.

    Equivalent to ``torch.stack([states[layer][rows, columns] for layer in layers])`` where ``states`` is what enters
    the first block followed by every block's output.

    Parameters
    ----------
    head : LensHead
    input_ids : (B, T) int64, padded on the right where lengths differ
        A causal model's earlier positions never see the padding, so no mask is needed.
    positions : sequence of (row, column), N of them
    layers : sequence of int, optional
        0 is what enters the first block, l what block l puts out, before the final norm; all by default.
    past : transformers Cache, optional
        Keys and values of a prefix that all rows share, one copy a row; it grows by T.

    Returns
    -------
    (len(layers), N, D) tensor in the model's dtype

    Notes
    -----
    The model's own logits are never built. Beyond the model's activations this holds ``len(layers) * N * D`` numbers.
    """
    rows = torch.tensor([row for row, _ in positions], dtype=torch.int64, device=input_ids.device)
    columns = torch.tensor([column for _, column in positions], dtype=torch.int64, device=input_ids.device)
    wanted = range(len(head.blocks) + 1) if layers is None else layers
    kept: dict[int, torch.Tensor] = {}

    def keep(layer: int, state: Any) -> None:
        # Blocks return a tensor, or a tuple that starts with it, by the version of transformers.
        state = state[0] if isinstance(state, tuple) else state
        kept[layer] = state[rows, columns]

    handles = []
    for layer in wanted:
        if layer == 0:
            handles.append(head.blocks[0].register_forward_pre_hook(
                lambda module, args, kwargs: keep(0, args[0] if args else kwargs["hidden_states"]), with_kwargs=True
            ))  # fmt: skip
        else:
            handles.append(head.blocks[layer - 1].register_forward_hook(
                lambda module, args, output, layer=layer: keep(layer, output)
            ))  # fmt: skip
    try:
        head.base(input_ids=input_ids, past_key_values=past, use_cache=past is not None)
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack([kept[layer] for layer in wanted])
