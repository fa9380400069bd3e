"""Fused unembedding: top-k, logsumexp, ranks, set mass, entropy and divergences without ever holding the logits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivotkit.errors import BackendUnavailable
from pivotkit.kernels import native_backend
from pivotkit.kernels.arrays import bits, check_float, default_threads, device_of, integers, is_torch, tensor
from pivotkit.kernels.packed import PackedUnembedding, check_precision, check_weight
from pivotkit.kernels.results import Unembedded
from pivotkit.kernels.token_sets import TokenSetTable

#: Bytes that one call may allocate beyond its outputs, whatever the number of rows, ids and threads.
WORKSPACE = 64 << 20

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

    Equal to, without ever holding ``z``::

        z = linear(hidden.float(), weight.float(), bias) * logit_scale
        z = softcap * tanh(z / softcap)          # where softcap is given
        logits, ids = z.topk(k); logsumexp = z.logsumexp(-1); entropy = Categorical(logits=z).entropy()
        kl = kl_divergence(Categorical(logits=z[references]), Categorical(logits=z))

    Parameters
    ----------
    hidden : (..., D) float32, bfloat16 or float16, torch or NumPy
        Rows to unembed, after the final norm; any strides, no row at all included. Stack all layers, positions and
        prompts: the matrix is read once for all of them.
    weight : (V, D) float32, bfloat16 or float16, or PackedUnembedding
        The unembedding matrix in Hugging Face layout, rows contiguous, on the device of ``hidden``.
    k : int, default 10
        Entries to keep of each row, from 1 to V.
    bias : (V,) float, optional
        Added to the products before the scale.
    logit_scale : float, default 1
        Multiplies products and bias.
    softcap : float, optional
        c in c * tanh(z / c), applied last.
    targets : (..., T) or (T,) integer ids, optional
        Ids to report logit and rank of: T per row, or one list for all rows.
    token_sets : TokenSetTable or list of lists of ids, optional
        Sets whose joint log-probability to report; a list of S lists holds for every row, a table from
        ``TokenSetTable.per_row`` gives each row (in the order of ``hidden`` flattened) S sets of its own.
    entropy : bool, default False
        Whether to report the entropy.
    references : (...) or (M,) integers, optional
        For each row the index, in ``hidden`` flattened to (M, D), of the row whose distribution it is compared with:
        asks for KL(reference || row). For a logit lens, the last layer's row of the same position.
    precision : str, default "exact"
        Float32 accumulation. ``"certified"``, for a ``PackedUnembedding`` of that precision on the CPU: int8 screening
        and exact logits for what it leaves open. ids, logits, target_logits and target_ranks are the exact ones, bit
        for bit; logsumexp, and with it set_logprobs, is off by at most ``logsumexp_error``. Rows whose open ids are
        too many are answered exactly. Not with ``entropy`` or ``references``.
    logsumexp_tolerance : float, optional
        For ``"certified"``: rows with a larger ``logsumexp_error`` are answered exactly.
    threads : int, optional
        Default: one per CPU that the process may use. Only for the native backend.
    backend : {"auto", "cpu", "cuda", "torch"}
        Native code of the CPU or of CUDA, or chunked PyTorch on the device of the tensors. ``"auto"`` is native for the
        CPU, and for a GPU that the CUDA kernels can run on; ``Unembedded.backend`` says what ran.

    Returns
    -------
    Unembedded
        Torch tensors for torch ``hidden``, NumPy arrays for NumPy ``hidden``; names the backend that ran.

    Raises
    ------
    TypeError
        An argument of the wrong kind: not an array, not of a float type, or on another device.
    ValueError
        A wrong shape, k out of range, NaN or infinity (with its first place) or an overflow of float32.
    IndexError
        A target or a set's id outside the vocabulary, a reference that is no row.
    BackendUnavailable
        A precision that this device, a PIVOTKIT_ISA that this machine, or CUDA kernels that this build does not have.

    Notes
    -----
    Order: logit descending, then id ascending, so results do not depend on luck; the native backend gives the same
    bits for every number of threads and rows. Scratch memory stays within ``WORKSPACE`` bytes. Gradients do not flow.

    ``kl`` weights differences of two rows' logits by the reference's probabilities: its error is that of the logits, and
    what rounding leaves below 0 is 0. A row that is its own reference has exactly 0. Where the workspace parts a
    reference from rows that name it, it passes the weight again with them.

    Where hidden and weight are both bfloat16, the instruction sets avx512bf16 and amx multiply them by instructions of
    their own. Accumulation is float32 there too, in an order that is theirs, so the last bits are not those of other
    instruction sets; subnormal values and subnormal sums count as zero.

    On CUDA everything is queued on the current stream; the call waits once, at its end, to learn whether all logits were
    finite, and once more for each of targets and references that is on the GPU. Up to 8 rows without references have
    products that depend on row and id alone; the rest have the bits of cuBLAS, which may differ with the number of rows.
    Products are never TF32; 16-bit hidden states and weights of one type meet on tensor cores, which cut their float32
    sums instead of rounding them (about D / 8 units in the last place of the largest partial sum). ``WORKSPACE`` there
    does not count the copies of bias, targets and token sets on the device, nor what cuBLAS keeps.

    Examples
    --------
    >>> import numpy as np
    >>> result = unembed(np.float32([[1, 2]]), np.float32([[1, 0], [0, 1], [1, 0]]), k=3, targets=[2])
    >>> result.ids.tolist(), result.logits.tolist(), result.target_ranks.tolist()
    ([[1, 0, 2]], [[2.0, 1.0, 1.0]], [[2]])
    """
    check_precision(_NAME, precision)
    _check_certified(weight, precision, logsumexp_tolerance, entropy, references)
    hidden_type = check_float(_NAME, "hidden", hidden)
    matrix = weight.weight if isinstance(weight, PackedUnembedding) else weight
    weight_type = check_weight(_NAME, matrix)
    backend = _choose_backend(backend, hidden, matrix)
    vocabulary, dim = matrix.shape
    shape = tuple(hidden.shape[:-1])
    if hidden.ndim < 1 or hidden.shape[-1] != dim:
        raise ValueError(f"{_NAME}: hidden must be (..., {dim}) to match weight; got {tuple(hidden.shape)}")
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
        raise TypeError(f"{_NAME}: k must be an int; got {type(k).__name__}")
    if not 1 <= k <= vocabulary:
        raise ValueError(f"{_NAME}: k must be from 1 to {vocabulary}; got {k}")
    if softcap is not None and not (softcap > 0 and math.isfinite(softcap)):
        raise ValueError(f"{_NAME}: softcap must be positive and finite, or None; got {softcap}")
    if not math.isfinite(logit_scale):
        raise ValueError(f"{_NAME}: logit_scale must be finite; got {logit_scale}")
    count = default_threads(_NAME, threads)
    rows = hidden.reshape(math.prod(shape), dim)
    target_ids = _target_ids(targets, shape)
    table = _token_table(token_sets, rows.shape[0])
    compared = _references(references, shape)
    offset = _bias(bias, vocabulary)
    if backend != "cpu" and precision == "certified":
        raise BackendUnavailable(f"{_NAME}: precision must be 'exact' for backend {backend!r}; got 'certified'")
    if backend != "cpu":
        run = _on_device(backend)
        arrays = run(
            tensor(rows),
            tensor(matrix),
            int(k),
            None if offset is None else tensor(offset),
            logit_scale,
            softcap,
            target_ids,
            table,
            entropy,
            WORKSPACE,
            references=compared,
        )
        if not is_torch(hidden):
            arrays = {name: value.numpy() for name, value in arrays.items()}
        isa = None
    else:
        if offset is not None and is_torch(offset):
            offset = offset.cpu().contiguous().numpy()
        head = native_backend.Head(bits(matrix), weight_type, offset, logit_scale, softcap or 0.0)
        if precision == "certified":
            native = native_backend.certified(
                bits(rows), hidden_type, head, int(k), target_ids, table, count, WORKSPACE, weight.quantized,
                logsumexp_tolerance,
            )  # fmt: skip
        else:
            native = native_backend.exact(
                bits(rows), hidden_type, head, int(k), target_ids, table, entropy, count, WORKSPACE, references=compared
            )
        isa = native["isa"]
        arrays = {name: value for name, value in native.items() if name != "isa"}
        if is_torch(hidden):
            arrays = {name: tensor(value) for name, value in arrays.items()}
    return Unembedded(
        ids=arrays["ids"].reshape(*shape, k),
        logits=arrays["logits"].reshape(*shape, k),
        logsumexp=arrays["logsumexp"].reshape(shape),
        target_logits=None if target_ids is None else arrays["target_logits"].reshape(*shape, target_ids.shape[1]),
        target_ranks=None if target_ids is None else arrays["target_ranks"].reshape(*shape, target_ids.shape[1]),
        set_logprobs=None if table is None else arrays["set_logprobs"].reshape(*shape, table.sets),
        entropy=arrays["entropy"].reshape(shape) if entropy else None,
        kl=None if compared is None else arrays["kl"].reshape(shape),
        backend=backend,
        isa=isa,
        logsumexp_error=arrays["logsumexp_error"].reshape(shape) if precision == "certified" else None,
        certified=arrays["certified"].reshape(shape) if precision == "certified" else None,
    )


def _check_certified(
    weight: Any, precision: str, tolerance: float | None, entropy: bool, references: Any | None
) -> None:
    if tolerance is not None and (precision != "certified" or not tolerance >= 0):
        raise ValueError(
            f"{_NAME}: logsumexp_tolerance must be None, or not negative with precision 'certified'; got {tolerance}"
        )
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
    if backend not in ("auto", "cpu", "cuda", "torch"):
        raise ValueError(f"{_NAME}: backend must be 'auto', 'cpu', 'cuda' or 'torch'; got {backend!r}")
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


def _on_device(backend: str) -> Callable[..., dict[str, Any]]:
    if backend == "torch":
        from pivotkit.kernels import torch_backend

        return torch_backend.unembed
    from pivotkit.kernels import cuda_backend

    return cuda_backend.unembed


def _target_ids(targets: Any | None, shape: tuple[int, ...]) -> NDArray[np.int64] | None:
    if targets is None:
        return None
    ids = integers(_NAME, "targets", targets)
    if ids.ndim != 1 and ids.shape[:-1] != shape:
        raise ValueError(f"{_NAME}: targets must be (T,) or (*{shape}, T); got {ids.shape}")
    if ids.ndim == 1:
        ids = np.broadcast_to(ids, (*shape, ids.shape[0]))
    return np.ascontiguousarray(ids.reshape(math.prod(shape), ids.shape[-1]))


def _references(references: Any | None, shape: tuple[int, ...]) -> NDArray[np.int64] | None:
    if references is None:
        return None
    rows, count = integers(_NAME, "references", references), math.prod(shape)
    if rows.shape not in (shape, (count,)):
        raise ValueError(f"{_NAME}: references must be {shape} or ({count},); got {rows.shape}")
    return np.ascontiguousarray(rows.reshape(count))


def _token_table(token_sets: TokenSetTable | Sequence[Iterable[int]] | None, rows: int) -> TokenSetTable | None:
    if token_sets is None:
        return None
    table = token_sets if isinstance(token_sets, TokenSetTable) else TokenSetTable.of_all(token_sets)
    if table.rows is not None and table.rows != rows:
        raise ValueError(f"{_NAME}: token_sets must have sets for {rows} rows; got {table.rows}")
    return table


def _bias(bias: Any | None, vocabulary: int) -> Any | None:
    """float32, where it is: a tensor of a GPU stays there."""
    if bias is None:
        return None
    check_float(_NAME, "bias", bias)
    if tuple(bias.shape) != (vocabulary,):
        raise ValueError(f"{_NAME}: bias must be ({vocabulary},); got {tuple(bias.shape)}")
    return bias.detach().float() if is_torch(bias) else np.ascontiguousarray(bias, dtype=np.float32)
