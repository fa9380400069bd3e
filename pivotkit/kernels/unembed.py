"""The fused unembedding: top-k, logsumexp, ranks, set mass, entropy and divergences without holding the logits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from pivotkit.arguments import check_flag, check_number, check_text, refuse, shown
from pivotkit.errors import BackendUnavailable
from pivotkit.kernels import native_backend
from pivotkit.kernels.arrays import check_float, default_threads, device_of, is_torch, tensor
from pivotkit.kernels.packed import PackedUnembedding, check_precision, check_weight
from pivotkit.kernels.request import (
    UnembedRequest,
    flat_references,
    flat_targets,
    float32_bias,
    token_set_table,
)
from pivotkit.kernels.results import Unembedded
from pivotkit.kernels.token_sets import TokenSetTable

_NAME = "unembed"


def unembed(
    hidden: Any,
    weight: Any,
    k: int = 10,
    *,
    bias: Any | None = None,
    logit_scale: float = 1.0,
    softcap: float | None = None,
    targets: Any | None = None,
    token_sets: TokenSetTable | Sequence[Iterable[int]] | None = None,
    entropy: bool = False,
    references: Any | None = None,
    precision: str = "exact",
    logsumexp_tolerance: float | None = None,
    threads: int | None = None,
    backend: str = "auto",
) -> Unembedded:
    """Reduce the logits of hidden states to what a lens needs, reading the unembedding matrix once.

    Equivalent to this, without ever holding ``z``::

        z = linear(hidden.float(), weight.float(), bias) * logit_scale
        z = softcap * tanh(z / softcap)          # where softcap is given
        logits, ids = z.topk(k); logsumexp = z.logsumexp(-1); entropy = Categorical(logits=z).entropy()
        kl = kl_divergence(Categorical(logits=z[references]), Categorical(logits=z))

    Parameters
    ----------
    hidden : (..., D) float32, bfloat16 or float16, torch or NumPy
        Rows to unembed, after the final norm. Any strides; there may be no rows. Stack all layers, positions and
        prompts: one call reads the matrix once for all of them.
    weight : (V, D) float32, bfloat16 or float16, or PackedUnembedding
        The unembedding matrix in Hugging Face layout, with contiguous rows, on the device of ``hidden``.
    k : int, default 10
        Entries to keep per row, from 1 to V.
    bias : (V,) float32, bfloat16 or float16, optional
        Added to the products before the scale.
    logit_scale : float, default 1
        Multiplies products and bias.
    softcap : float, optional
        The c of c * tanh(z / c), which is applied last.
    targets : (..., T) or (T,) integer ids, optional
        Ids whose logit and rank to report: T per row, or one list for all rows.
    token_sets : TokenSetTable or list of lists of ids, optional
        Sets whose joint log-probability to report. A list of S lists holds for every row. A table from
        ``TokenSetTable.per_row`` gives each row, in the order of ``hidden`` flattened, S sets of its own.
    entropy : bool, default False
        Whether to report the entropy.
    references : (...) or (M,) integers, optional
        Asks for KL(reference || row). Gives for each row the index of its reference in ``hidden`` flattened to (M, D).
        A logit lens names the last layer's row of the same position.
    precision : {"exact", "certified"}, default "exact"
        ``"exact"`` accumulates in float32. ``"certified"`` needs a ``PackedUnembedding`` of that precision on the CPU:
        it screens in int8 and computes exact logits for the ids that screening leaves open. ids, logits, target_logits
        and target_ranks are then the exact ones, bit for bit. logsumexp, and set_logprobs with it, is off by at most
        ``logsumexp_error``. Rows with too many open ids are answered exactly. So are all rows where screening would
        take longer: see Notes. Excludes ``entropy`` and ``references``.
    logsumexp_tolerance : float, optional
        For ``"certified"``: rows with a larger ``logsumexp_error`` are answered exactly.
    threads : int, optional
        Threads of the native CPU backend; by default one per CPU that the process may use.
    backend : {"auto", "cpu", "cuda", "torch"}, default "auto"
        Native code of the CPU or of CUDA, or chunked PyTorch on the device of the tensors. ``"auto"`` takes native code
        on the CPU and on each GPU that the CUDA kernels support, and PyTorch elsewhere.

    Returns
    -------
    Unembedded
        Torch tensors for torch ``hidden``, NumPy arrays for NumPy ``hidden``. ``backend`` and ``isa`` say what ran.

    Raises
    ------
    TypeError
        An argument is not an array, not of a float type, or on another device.
    ValueError
        A shape is wrong, k is out of range, a value is NaN or infinite (the message gives the first place), or a logit
        overflows float32.
    IndexError
        A target or an id of a set lies outside the vocabulary, or a reference is no row.
    BackendUnavailable
        The device lacks the precision, the machine lacks the ISA of PIVOTKIT_ISA, or the build lacks CUDA kernels.

    Notes
    -----
    Order: logit descending, then id ascending. The native CPU backend gives the same bits for every number of threads
    and of rows. Gradients do not flow.

    Cost: 2 M V D floating-point operations and one read of ``weight`` for each block of rows that fits the workspace;
    most calls are one block. Scratch memory stays within ``WORKSPACE`` bytes.

    ``"certified"`` screens where that is faster. A row takes c + b s + f of the time of an exact row, where s is the
    share of the vocabulary that stays open, f that of rows which are answered exactly after all, and c what screening
    alone takes: 0.75 on avx2, 0.4 on avx512vnni and later, 0.6 there for bfloat16 heads with instructions of their own;
    b is 15 and 10. Of 512 rows or more the first 16 are screened alone; if that sum is not below 1 for them, all others
    are answered exactly. scalar and neon have no dot products of bytes, so they never screen.

    The error of ``kl`` is that of the logits, weighted by the probabilities of the reference. Values below 0, which
    only rounding gives, become 0; a row that is its own reference has exactly 0. A reference outside the block of a row
    that names it is multiplied by ``weight`` again in that block.

    neonbf16, avx512bf16 and amx multiply bfloat16 hidden states by a bfloat16 weight with instructions of their own.
    These accumulate in float32 too, in another order, so the last bits differ from other instruction sets; subnormal
    values and subnormal sums count as zero. amx is taken by itself for such heads, and for screening, where the system
    permits its tiles and a self-test passes: both are asked at the first call that would use them.

    On CUDA everything is queued on the current stream. The call waits once, at its end, to learn whether all logits
    were finite, and once more for each of targets and references that lies on the GPU. Products of up to 8 rows without
    references depend on row and id alone; other products have the bits of cuBLAS, which may change with the number of
    rows. No product uses TF32. Tensor cores multiply 16-bit hidden states by a weight of the same type; they truncate
    their float32 sums (about D / 8 units in the last place of the largest partial sum). ``WORKSPACE`` excludes the
    copies of bias, targets and token sets on the device, and what cuBLAS keeps.

    Examples
    --------
    >>> import numpy as np
    >>> result = unembed(np.float32([[1, 2]]), np.float32([[1, 0], [0, 1], [1, 0]]), k=3, targets=[2])
    >>> result.ids.tolist(), result.logits.tolist(), result.target_ranks.tolist()
    ([[1, 0, 2]], [[2.0, 1.0, 1.0]], [[2]])
    """
    check_precision(_NAME, precision)
    _check_certified(weight, precision, logsumexp_tolerance, entropy, references)
    check_float(_NAME, "hidden", hidden)
    matrix = weight.weight if isinstance(weight, PackedUnembedding) else weight
    check_weight(_NAME, matrix)
    backend = _choose_backend(backend, hidden, matrix)
    vocabulary, dim = matrix.shape
    shape = tuple(hidden.shape[:-1])
    if hidden.ndim < 1 or hidden.shape[-1] != dim:
        raise ValueError(f"{_NAME}: hidden must be (..., {dim}) to match weight; got {tuple(hidden.shape)}")
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
        raise TypeError(f"{_NAME}: k must be an int; got {type(k).__name__}")
    if not 1 <= k <= vocabulary:
        raise ValueError(f"{_NAME}: k must be from 1 to {vocabulary}; got {shown(k)}")
    check_number(_NAME, "softcap", softcap, none=True)
    if softcap is not None and not softcap > 0:
        raise ValueError(f"{_NAME}: softcap must be positive and finite, or None; got {softcap}")
    check_number(_NAME, "logit_scale", logit_scale)
    check_flag(_NAME, "entropy", entropy)
    count = default_threads(_NAME, threads)
    rows = hidden.reshape(math.prod(shape), dim)
    request = UnembedRequest(
        hidden=rows,
        weight=matrix,
        k=int(k),
        logit_scale=logit_scale,
        softcap=softcap,
        targets=flat_targets(_NAME, targets, shape),
        token_sets=token_set_table(_NAME, token_sets, rows.shape[0]),
        references=flat_references(_NAME, references, shape),
        bias=float32_bias(_NAME, bias, vocabulary),
        entropy=entropy,
        threads=count,
    )
    if backend == "cpu":
        if precision == "certified":
            arrays = native_backend.unembed_certified(request, weight.quantized, logsumexp_tolerance)
        else:
            arrays = native_backend.unembed(request)
        isa = arrays.pop("isa")
        if is_torch(hidden):
            arrays = {name: tensor(value) for name, value in arrays.items()}
    else:
        if precision == "certified":
            raise BackendUnavailable(f"{_NAME}: precision must be 'exact' for backend {backend!r}; got 'certified'")
        isa, arrays = None, _on_device(backend)(request)
        if not is_torch(hidden):
            arrays = {name: value.numpy() for name, value in arrays.items()}
    return _result(arrays, request, shape, backend, isa)


def _result(
    arrays: dict[str, Any], request: UnembedRequest, shape: tuple[int, ...], backend: str, isa: str | None
) -> Unembedded:
    """A backend's flat arrays with the leading dimensions of hidden; None for what was not asked for."""

    def shaped(name: str) -> Any:
        value = arrays[name]
        return value if len(shape) == 1 else value.reshape((*shape, *value.shape[1:]))

    with_targets, certified = request.targets is not None, "certified" in arrays
    return Unembedded(
        ids=shaped("ids"),
        logits=shaped("logits"),
        logsumexp=shaped("logsumexp"),
        target_logits=shaped("target_logits") if with_targets else None,
        target_ranks=shaped("target_ranks") if with_targets else None,
        set_logprobs=shaped("set_logprobs") if request.token_sets is not None else None,
        entropy=shaped("entropy") if request.entropy else None,
        kl=shaped("kl") if request.references is not None else None,
        backend=backend,
        isa=isa,
        logsumexp_error=shaped("logsumexp_error") if certified else None,
        certified=shaped("certified") if certified else None,
    )


def _check_certified(
    weight: Any, precision: str, tolerance: float | None, entropy: bool, references: Any | None
) -> None:
    check_number(_NAME, "logsumexp_tolerance", tolerance, none=True)
    if tolerance is not None and (precision != "certified" or not tolerance >= 0):
        rule = "be None, or not negative with precision 'certified'"
        refuse(_NAME, "logsumexp_tolerance", rule, tolerance)
    if precision != "certified":
        return
    if not isinstance(weight, PackedUnembedding) or weight.precision != "certified":
        raise ValueError(
            f"{_NAME}: weight must be PackedUnembedding(weight, precision='certified') for precision 'certified'; "
            f"got {type(weight).__name__}"
        )
    if entropy:
        raise ValueError(f"{_NAME}: entropy must be False for precision 'certified', which cannot bound it; got True")
    if references is not None:
        raise ValueError(
            f"{_NAME}: references must be None for precision 'certified', which cannot bound divergences; "
            f"got {type(references).__name__}"
        )


def _choose_backend(backend: str, hidden: Any, weight: Any) -> str:
    devices = device_of(hidden), device_of(weight)
    if devices[0] != devices[1]:
        raise TypeError(f"{_NAME}: weight must be on the device of hidden, {devices[0]}; got {devices[1]}")
    check_text(_NAME, "backend", backend)
    if backend not in ("auto", "cpu", "cuda", "torch"):
        refuse(_NAME, "backend", "be 'auto', 'cpu', 'cuda' or 'torch'", backend)
    kind = devices[0].partition(":")[0]
    if backend == "auto":
        return kind if kind == "cpu" or (kind == "cuda" and _why_not_cuda(devices[0]) is None) else "torch"
    if backend != "torch" and backend != kind:
        raise TypeError(f"{_NAME}: hidden must be on {backend} for backend {backend!r}; got {devices[0]}")
    if backend == "cuda" and (reason := _why_not_cuda(devices[0])) is not None:
        raise BackendUnavailable(f"{_NAME}: backend must be 'torch' on {devices[0]}; got 'cuda', but {reason}")
    return backend


def _why_not_cuda(device: str) -> str | None:
    from pivotkit.kernels import cuda_backend

    return cuda_backend.why_not(device)


def _on_device(backend: str) -> Callable[[UnembedRequest], dict[str, Any]]:
    if backend == "torch":
        from pivotkit.kernels import torch_backend

        return torch_backend.unembed
    from pivotkit.kernels import cuda_backend

    return cuda_backend.unembed
