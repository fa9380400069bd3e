"""Sums over the items of each pair, which the contrast of a single item needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pivotkit.arguments import check_kind, elements, refuse_kind
from pivotkit.artifacts import atomic_path, require_columns, value_digest
from pivotkit.errors import InputError
from pivotkit.kernels.torch_backend import full_precision
from pivotkit.lens.groups import grouped
from pivotkit.lens.invariants import check_invariants
from pivotkit.lens.model.encoding import encode_items, require_room, require_same_vocabulary, require_tokenizer
from pivotkit.lens.model.head import LensHead, require_model
from pivotkit.lens.model.parts import ModelParts, with_float64
from pivotkit.lens.model.prefix_tree import PrefixTree
from pivotkit.lens.through_lens import through_lens
from pivotkit.words.task import require_tokens

Lens = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]

BLOCK = 4096  # tokens of the vocabulary whose capped logits are held at a time
DIGEST = 64  # letters of a SHA-256
SAMPLE = 64  # numbers of each parameter that tell a model from another
PROVED = ("positionwise", "shares_prefix", "pads_left", "self_check_error")  # of a head: how it runs, not what it is


@dataclass
class ContrastMeans:
    """Sums over items, by pair: what `trace` takes from each item to say what sets it apart.

    `contrast_means` makes them, ``save`` and ``load`` keep them in a file, ``merge`` adds those of parts of the items.

    Attributes
    ----------
    model : str
        Digest of the model and its head.
    lens : str
        The name of the lens.
    probe : tuple of L floats
        What the lens makes of one fixed state in each layer, which tells two lenses of one name apart.
    items : dict of group to {item: digest of its prompt and target}
        The items that are in the sums. A group is the items of a pair that are read behind the same appended pieces
        (`grouped`); where none are appended, it has the name of the pair.
    sums : dict of group to (L, D) float64 tensor
        Sums of the states behind the norm at the answer position. Of a head with a soft-cap, whose logits are not
        linear in the states, (L, V) sums of the capped logits.
    logsumexp : dict of group to (L,) float64 tensor
    """

    model: str = ""
    lens: str = ""
    probe: tuple[float, ...] = ()
    items: dict[str, dict[int, str]] = field(default_factory=dict)
    sums: dict[str, torch.Tensor] = field(default_factory=dict)
    logsumexp: dict[str, torch.Tensor] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"ContrastMeans({', '.join(f'{pair}={self.count(pair)}' for pair in sorted(self.items))})"

    def count(self, group: str) -> int:
        """The number of items of a group."""
        return len(self.items.get(group, ()))

    def add(
        self, head: ModelParts, rows: Sequence[dict[str, Any]], normed: torch.Tensor, logsumexp: torch.Tensor
    ) -> None:
        """Add N items ``rows``, read at their answer positions.

        Parameters
        ----------
        head : LensHead
        rows : sequence of N rows of the items' table, `grouped`
        normed : (L, N, D) tensor
            Their states behind the norm.
        logsumexp : (L, N) tensor
        """
        for group in dict.fromkeys(row["group"] for row in rows):
            at = [number for number, row in enumerate(rows) if row["group"] == group]
            members = self.items.setdefault(group, {})
            for row in (rows[one] for one in at):
                if row["item"] in members:
                    raise ValueError(
                        f"contrast: items must each be there once; got item {row['item']} of {group} twice"
                    )
                members[row["item"]] = item_digest(row)
            own = normed[:, at]
            if head.softcap is None:
                total = summed(own)
            else:
                total = torch.cat([summed(z) for _, z in logit_blocks(head, own)], -1)
            self._put(group, total, summed(logsumexp[:, at]))

    def require(self, function: str, head: LensHead, lens: Lens | None, rows: Iterable[Mapping[str, Any]]) -> None:
        """Refuse sums of another model or lens, and those that lack one of ``rows`` of the items' table."""
        if self.model != model_digest(head):
            raise ValueError(f"{function}: contrast must be of the model that is traced; got sums of another one")
        if self.lens != lens_name(lens):
            raise ValueError(f"{function}: contrast must be of the {lens_name(lens)}; got sums of the {self.lens}")
        if not _same_probe(self.probe, lens_probe(head, lens)):
            raise ValueError(f"{function}: contrast must be of the same maps; got sums of another {self.lens}")
        for row in rows:
            group, item = row["group"], row["item"]
            if group not in self.items:
                held = ", ".join(sorted(self.items)) or "none"
                raise ValueError(f"{function}: contrast must hold every pair of items; got {held}, without {group}")
            if item not in self.items[group]:
                count = self.count(group)
                raise ValueError(
                    f"{function}: contrast must hold every item of {group}; got {count}, without item {item}"
                )
            if self.items[group][item] != item_digest(row):
                raise ValueError(f"{function}: contrast must be of the same prompts; got another for item {item}")

    @classmethod
    def merge(cls, parts: Iterable[ContrastMeans]) -> ContrastMeans:
        """Add the sums of parts of the items.

        Parameters
        ----------
        parts : iterable of ContrastMeans
            Of one model and lens, and of different items.

        Returns
        -------
        ContrastMeans
            As of all items at once, up to the rounding of float64.

        Raises
        ------
        TypeError, ValueError
            A part is none, there are no parts, two are of other models or lenses, or two hold one item.
        """
        given = elements("merge", "parts", parts, "a sequence of ContrastMeans")
        for part in given:
            check_kind("merge", "parts", part, ContrastMeans, "a sequence of ContrastMeans")
        if not given:
            raise ValueError("merge: parts must be at least one; got none")
        first = given[0]
        merged = cls(first.model, first.lens, first.probe)
        for part in given:
            if part.model != first.model:
                raise ValueError("merge: parts must be of one model; got sums of two")
            if part.lens != first.lens or not _same_probe(part.probe, first.probe):
                raise ValueError(f"merge: parts must be of one lens; got the {first.lens} and another ({part.lens})")
            for pair, members in sorted(part.items.items()):
                own = merged.items.setdefault(pair, {})
                if twice := members.keys() & own.keys():
                    raise ValueError(f"merge: parts must hold different items; got item {min(twice)} of {pair} twice")
                own.update(members)
                merged._put(pair, part.sums[pair], part.logsumexp[pair])
        return merged

    def _put(self, pair: str, total: torch.Tensor, logsumexp: torch.Tensor) -> None:
        self.sums[pair] = self.sums[pair] + total if pair in self.sums else total
        self.logsumexp[pair] = self.logsumexp[pair] + logsumexp if pair in self.logsumexp else logsumexp

    def save(self, path: str | Path) -> Path:
        """Write the sums to one safetensors file, whole or not at all; return its path."""
        tensors = self._tensors()
        about = {"model": self.model, "lens": self.lens, "probe": self.probe,
                 "items": {pair: [*members.items()] for pair, members in self.items.items()}}  # fmt: skip
        text = orjson.dumps(about).decode()
        with atomic_path(path) as temporary:
            # One entry: safetensors writes several in an order that changes, and the same sums are the same bytes.
            save_file(tensors, temporary, {"contrast": _digest(text, tensors) + text})
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> ContrastMeans:
        """Read what `save` wrote; an `InputError` names a file that is damaged or something else."""
        try:
            with safe_open(path, "pt") as file:
                said = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise InputError(path, "", f"must be a safetensors file; {error}") from None
        if "contrast" not in said:
            raise InputError(path, "", "must be sums of contrast_means; found none")
        digest, text = said["contrast"][:DIGEST], said["contrast"][DIGEST:]
        if digest != _digest(text, tensors):
            raise InputError(path, "", "must be as pivotkit wrote it; got another digest")
        about = orjson.loads(text)
        means = cls(about["model"], about["lens"], tuple(about["probe"]))
        for pair, members in about["items"].items():
            means.items[pair] = dict(map(tuple, members))
            means._put(pair, tensors[f"sums {pair}"], tensors[f"logsumexp {pair}"])
        return means

    def _tensors(self) -> dict[str, torch.Tensor]:
        named = {"sums": self.sums, "logsumexp": self.logsumexp}
        return {f"{name} {pair}": values.contiguous() for name, own in named.items() for pair, values in own.items()}


@torch.inference_mode()
def contrast_means(
    model: Any, items: pa.Table, tokenizer: Any, *, lens: Lens | None = None, head: LensHead | None = None
) -> ContrastMeans:
    """Sum over all items of each pair what `trace` needs to give the contrast of each, in one forward pass of its own.

    Parameters
    ----------
    model : a transformers causal LM
    items : pyarrow.Table
        The result of `build_task`, or some of its rows.
    tokenizer : a fast Hugging Face tokenizer
    lens, head : optional
        As in `trace`.

    Returns
    -------
    ContrastMeans

    Raises
    ------
    TypeError, ValueError, ArithmeticError
        As `trace`; an item is there twice.

    Notes
    -----
    Sums are in float64. Memory: L x D x 8 bytes per pair; with a soft-cap L x V x 8. Cost: as a trace, less its table.
    """
    require_model("contrast_means", model, head)
    require_columns("contrast_means", "items", items, ("item", "pair", "source", "target", "prompt"))
    require_tokenizer("contrast_means", tokenizer)
    check_lens("contrast_means", lens)
    require_tokens(items, tokenizer)
    head = head or LensHead.from_model(model)
    rows = items.to_pylist()
    texts = encode_items(tokenizer, items)
    rows = grouped(rows, texts, tokenizer)
    require_room("contrast_means", head.longest, texts)
    require_same_vocabulary("contrast_means", len(head.weight), texts)
    answers = [[text.telling - 1] for text in texts]
    tree = PrefixTree([text.ids for text in texts], answers, [f"item {row['item']}" for row in rows])
    owners: list[list[int]] = [[] for _ in range(tree.count)]
    for number, [line] in enumerate(tree.rows):
        owners[line].append(number)
    means = ContrastMeans(model_digest(head), lens_name(lens), lens_probe(head, lens))
    for lines, states in tree.run(head):
        here = [(at, number) for at, line in enumerate(lines) for number in owners[line]]
        states = through_lens(lens, states)
        states = states[:, [at for at, _ in here]]
        result = head.unembed(states, 1)
        check_invariants("contrast_means", result, len(head.weight))
        means.add(head, [rows[number] for _, number in here], head.normed(states), result.logsumexp)
    return means


def summed(values: torch.Tensor) -> torch.Tensor:
    """The sum over the items of (L, N, ...) in float64, taken where they are; the sum alone moves to the CPU."""
    return values.to(with_float64(values.device)).sum(1, dtype=torch.float64).cpu()


def check_lens(function: str, lens: Any) -> None:
    if lens is not None and (isinstance(lens, type) or not callable(lens)):
        refuse_kind(function, "lens", "be a function of (hidden, layers) or None", lens)


def lens_name(lens: Lens | None) -> str:
    """What a lens is called in the metadata of a trace."""
    return "logit lens" if lens is None else str(getattr(lens, "name", type(lens).__name__))


def lens_probe(head: ModelParts, lens: Lens | None) -> tuple[float, ...]:
    """One number per layer that depends on all that the lens makes of one fixed state."""
    layers, width = len(head.blocks) + 1, head.weight.shape[1]
    states = torch.cos(torch.arange(width)).to(head.weight).expand(layers, 1, width)
    found = through_lens(lens, states)
    return tuple((found[:, 0].double().cpu() @ torch.sin(torch.arange(found.shape[-1]) + 1.0).double()).tolist())


def _same_probe(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two probes agree up to the rounding of two processors."""
    return len(one) == len(other) and np.allclose(one, other, rtol=1e-3, atol=1e-3)


def model_digest(head: LensHead) -> str:
    """Digest of a head's description and of some numbers of each parameter; it does not depend on the device."""
    said = {name: value for name, value in head.describe().items() if name not in PROVED}
    digest = hashlib.sha256(value_digest(said).encode())
    for values in [head.weight, *([] if head.bias is None else [head.bias]), *head.base.parameters()]:
        if values.device.type != "meta":  # offloaded; what remains tells models apart
            flat = values.detach().reshape(-1)
            some = flat[:: max(1, len(flat) // SAMPLE)].contiguous().cpu()
            digest.update(some.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _digest(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def item_digest(row: Mapping[str, Any]) -> str:
    """What tells an item from another of the same number."""
    return value_digest([row["pair"], row["prompt"], row["target"]])[:16]


def logit_blocks(head: ModelParts, normed: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the first token and the logits (..., up to BLOCK) of each block of the vocabulary, for states (..., D)."""
    for begin in range(0, len(head.weight), BLOCK):
        chosen = slice(begin, begin + BLOCK)
        with full_precision:
            z = normed.float() @ head.weight[chosen].float().T
        z = head.logit_scale * (z if head.bias is None else z + head.bias[chosen].float())
        yield begin, z if head.softcap is None else head.softcap * torch.tanh(z / head.softcap)
