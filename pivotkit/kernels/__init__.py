"""The Python interface of the native kernels; ``reference`` is the plain PyTorch oracle of each.

Importing this package does not import torch: NumPy arrays are enough for every native kernel.
"""

from __future__ import annotations

from pivotkit._C import isas, select_isa, tiles
from pivotkit.kernels.packed import PackedUnembedding
from pivotkit.kernels.request import WORKSPACE
from pivotkit.kernels.results import Unembedded
from pivotkit.kernels.token_sets import TokenSetTable
from pivotkit.kernels.unembed import unembed

__all__ = [
    "WORKSPACE",
    "PackedUnembedding",
    "TokenSetTable",
    "Unembedded",
    "isas",
    "select_isa",
    "tiles",
    "unembed",
]
