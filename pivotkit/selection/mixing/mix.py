"""Mix selections and base data by weights into training order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from pivotkit.arguments import (
    check_flag,
    check_int,
    check_kind,
    check_number,
    check_path,
    check_paths,
    check_text,
    refuse,
)
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.token_formats import written_dtype
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.selection.mixing.mix_job import MixJob
from pivotkit.selection.mixing.part_source import PartSource
from pivotkit.selection.writing.formats import TOKEN_FORMATS, Layout
from pivotkit.selection.writing.text_source import Tokenizer


def mix(
    parts: Mapping[str, Any],
    weights: Mapping[str, float],
    budget_tokens: int,
    out: str | PathLike[str],
    *,
    format: str = "olmo",
    tokenizer: Any = None,
    eos: int | None = None,
    seed: int = 0,
    max_epochs: int = 1,
    instance_tokens: int | None = None,
    shard_tokens: int = 1 << 28,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Mix selections and base data by weights into training order, for a budget of tokens, as token files.

    Parameters
    ----------
    parts : mapping of str to part
        By name: a folder that `write_selection` or `mix` wrote, `TokenFiles`, a `TokenStore`, or text as paths.
    weights : mapping of str to number
        The weight of each part, positive; its share of the tokens is its weight over their sum.
    budget_tokens : int
        How many tokens are written: up to the end of the document, or instance, that reaches it.
    out : path
        Folder for the files, as those of `write_selection`.
    format : {"olmo", "megatron", "datatrove"}, default "olmo"
    tokenizer : fast tokenizer, ``tokenizers.Tokenizer`` or path, optional
        For parts of text.
    eos : int, optional
        The id that ends a document; that of the parts by default. A document that does not end with it gets it.
    seed : int, default 0
    max_epochs : int, default 1
        How often the documents of a part may come. A part that is smaller than its share is refused otherwise.
    instance_tokens : int, optional
        For "olmo": parts take turns by training instances of so many ids, each of one part alone. By default they take
        turns by documents.
    shard_tokens : int, default 2^28
        A shard ends with the document, or instance, that makes it as long as this.
    dry_run : bool, default False
        Whether nothing is written.

    Returns
    -------
    dict
        The manifest, as that of `write_selection`, with ``seed``, ``weights``, ``budget_tokens`` and under "parts" the
        share, tokens, documents and epochs of each. With ``dry_run`` what each part would give and has.

    Raises
    ------
    TypeError
        For an argument of another kind.
    ValueError
        For weights that are not positive or not those of the parts, parts of different tokenizers or with different
        ``eos`` or ``bos``, a part that is too small, a part of text without ``tokenizer``; when ``out`` holds something
        else.
    CorpusError
        For a damaged file, one that changes while it is read, and an ``eos`` inside a document of "olmo".

    Notes
    -----
    Order: files are read in stretches of about 8 MiB, whose order is random; among the documents of 2^22 ids that are
    read one behind another the order is random, too. Both depend on the seed, the part's name and the epoch alone.

    Turns: worst-case fair weighted fair queueing. In each prefix of T tokens that ends with a document, a part of share
    w has w T tokens, to within the longest document of all parts.

    After a stop, the same call goes on behind the last shard that is whole, and writes the same bytes.

    Cost: one pass over what is taken. In memory are 2^22 ids of each part, and the lengths of one shard's documents.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pivotkit.corpus import TokenFiles
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, token in (("base", 1), ("chosen", 2)):
    ...     np.array([token, 0] * 30, "<u2").tofile(folder / f"{name}.npy")
    >>> parts = {name: TokenFiles(folder / f"{name}.npy", vocab_size=8, eos=0) for name in ("base", "chosen")}
    >>> manifest = mix(parts, {"base": 3, "chosen": 1}, 40, folder / "mixed")
    >>> {name: part["tokens"] for name, part in manifest["parts"].items()}
    {'base': 30, 'chosen': 10}
    >>> np.fromfile(folder / "mixed" / "part-00000.npy", "<u2")[:16:2].tolist()
    [1, 2, 1, 1, 1, 2, 1, 1]
    """
    check_kind("mix", "parts", parts, Mapping, "a mapping of name to part")
    check_kind("mix", "weights", weights, Mapping, "a mapping of name to weight")
    check_int("mix", "budget_tokens", budget_tokens, 1)
    check_path("mix", "out", out)
    check_text("mix", "format", format, tuple(TOKEN_FORMATS))
    check_int("mix", "eos", eos, 0, none=True)
    check_int("mix", "seed", seed, 0)
    check_int("mix", "max_epochs", max_epochs, 1)
    check_int("mix", "instance_tokens", instance_tokens, 1, none=True)
    check_int("mix", "shard_tokens", shard_tokens, 1)
    check_flag("mix", "dry_run", dry_run)
    for name, part in parts.items():
        check_text("mix", "parts", name)
        if not isinstance(part, TokenStore | TokenFiles):
            check_paths("mix", "parts", part)
    if not parts or set(parts) != set(weights):
        told = f"parts {', '.join(map(str, parts))}, weights of {', '.join(map(str, weights))}"
        raise ValueError(f"mix: weights must be of each of parts, one at least; got {told}")
    for weight in weights.values():
        check_number("mix", "weights", weight, math.ulp(0.0))
    whole = math.fsum(weights.values())
    if min(weights.values()) < whole * 1e-9:
        refuse("mix", "weights", "be at least a billionth of their sum", min(weights.values()))
    if instance_tokens is not None and format != "olmo":
        refuse("mix", "instance_tokens", f"be None for {format}", instance_tokens)
    named = None if tokenizer is None else Tokenizer("mix", tokenizer)
    sources = {name: PartSource.of(name, part, named) for name, part in sorted(parts.items())}
    last, first = _one("eos", sources, eos), _one("bos", sources, None)
    if last is None and format == "olmo":
        refuse("mix", "eos", "be given where no part says it: the id that ends a document", None)
    vocab_size = max(source.vocab_size for source in sources.values())
    check_int("mix", "eos", last, 0, vocab_size - 1, none=True)
    layout = Layout(format, written_dtype(format, vocab_size), _one("tokenizer_name", sources, None))
    shares = {name: weights[name] / whole for name in sources}
    limit = shard_tokens if instance_tokens is None else max(shard_tokens // instance_tokens, 1) * instance_tokens
    job = MixJob(
        sources, shares, budget_tokens, layout, vocab_size, last, first if format == "olmo" else None, seed,
        max_epochs, instance_tokens, limit,
    )  # fmt: skip
    if dry_run:
        return job.plan()
    job.check_supply()
    return job.run(Path(out))


def _one(what: str, sources: Mapping[str, PartSource], given: Any) -> Any:
    """What all parts that say it agree on, and what is given."""
    told = {name: getattr(source, what) for name, source in sources.items()}
    found = {value for value in (*told.values(), given) if value is not None}
    if len(found) > 1:
        listed = ", ".join(f"{value} of {name!r}" for name, value in told.items() if value is not None)
        plain = what.removesuffix("_name")
        raise ValueError(f"mix: parts must have one {plain}; got {listed}{'' if given is None else f', {given} given'}")
    return next(iter(found), None)
