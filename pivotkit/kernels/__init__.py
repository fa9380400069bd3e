"""Thin Python face of the native kernels; ``reference`` holds the plain PyTorch oracle of each.

Importing it does not import torch: NumPy arrays are enough to use every native kernel.
"""

from __future__ import annotations

from pivotkit._C import isas, select_isa
from pivotkit.kernels.packed import PackedUnembedding
from pivotkit.kernels.results import Unembedded
from pivotkit.kernels.token_sets import TokenSetTable
from pivotkit.kernels.unembed import WORKSPACE, unembed

__all__ = [
    "WORKSPACE",
    "PackedUnembedding",
    "TokenSetTable",
    "Unembedded",
    "isas",
    "select_isa",
    "unembed",
]
