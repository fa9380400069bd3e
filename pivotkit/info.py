"""What this installation is and runs on."""

from __future__ import annotations

import os
from typing import Any


def info() -> dict[str, Any]:
    """Version, instruction set, threads, CUDA, and the versions of what pivotkit builds on."""
    import torch

    import pivotkit
    from pivotkit.kernels import cuda_backend, isas, select_isa, tiles
    from pivotkit.run_folder import environment

    return {
        **environment(),
        "pivotkit": pivotkit.__version__,
        "isa": select_isa(),
        "isas": isas(),
        "tiles": tiles(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "cuda_kernels": cuda_backend.built() or "not built: PIVOTKIT_CUDA=ON pip install . builds them, with nvcc",
    }
