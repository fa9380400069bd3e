"""What this installation is and runs on."""

from __future__ import annotations

import os
from typing import Any


def info(verbose: bool = False) -> dict[str, Any]:
    """Version, instruction set, threads, CUDA, versions of what pivotkit builds on; the `paths` if ``verbose``."""
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
        **({"paths": paths()} if verbose else {}),
    }


def paths() -> list[dict[str, str]]:
    """What `unembed` runs on the CPU, by instruction set, type of hidden rows and weight, and number of rows.

    ``exact`` and ``certified`` name the instruction set whose kernels do the products and the screening. ``weight``
    says how exact products read it. Certified calls without screening are answered exactly.
    """
    from pivotkit import _C

    found = []
    for isa, heads, exact, most, screen in _C.paths():
        reads = ((f"1 to {most}", "in place"), (f"from {most + 1}", "packed tile by tile"))
        for rows, weight in reads:
            certified = screen or "no screening"
            named = {"isa": isa, "heads": heads, "rows": rows, "exact": exact, "weight": weight, "certified": certified}
            found.append(named)
    return found


def readable(rows: list[dict[str, str]]) -> str:
    """The rows as a table of text, a line each."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
