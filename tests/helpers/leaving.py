"""What leaves the model's device: on a CPU the same calls are made as on a GPU, so a test can count them there."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from torch.overrides import TorchFunctionMode

from pivotkit.kernels import unembed
from pivotkit.lens import contrast
from pivotkit.lens.model import parts
from pivotkit.lens.model.head import LensHead

LEAVES = ("cpu", "numpy", "tolist", "__array__")  # what takes a tensor's numbers to the processor


class Leaving(TorchFunctionMode):
    """Notes the shape of every tensor whose numbers leave the device."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__name__", "") in LEAVES:
            self.shapes.append(tuple(args[0].shape))
        return function(*args, **(kwargs or {}))

    def of_width(self, width: int, least: int = 1) -> list[tuple[int, ...]]:
        """The shapes of ``least`` dimensions or more whose last one is the width of a state."""
        return [shape for shape in self.shapes if len(shape) >= least and shape[-1] == width]


def on_any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel as it is on any device of torch: the CPU's own reads its arguments where they are."""
    for module in (parts, contrast):
        monkeypatch.setattr(module, "unembed", functools.partial(unembed, backend="torch"))
    monkeypatch.setattr(LensHead, "screened", property(lambda head: head.packed))


def proved(model: Any) -> LensHead:
    """The model's head, whose matrix is packed: on a CPU that looks at its numbers."""
    head = LensHead.from_model(model)
    assert head.packed.weight is head.weight
    return head
