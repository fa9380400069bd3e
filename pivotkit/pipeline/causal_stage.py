"""The stage that tests causes: traces -> tokens that are specific to an item -> what the answer loses without them."""
# ruff: noqa: RUF009 (option is dataclasses.field with a help text)

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pivotkit.artifacts import read_table, write_table
from pivotkit.pipeline.inputs import MODEL, TUNED_LENS, loaded_model
from pivotkit.pipeline.settings import Settings, option
from pivotkit.pipeline.stage import Stage
from pivotkit.run_folder import RunFolder

TESTED = ("pivot", "copy", "direct")  # classes of tokens that stand for a word; a piece stands for none
MOST_LAYERS, LEAST_ITEMS = 4, 10  # that are tested where no layers are given: how many, and with how many pivots each


@dataclass(repr=False)
class CausalSettings(Settings):
    """The settings of a run, and what the causal test adds."""

    layers: list[int] | None = option(
        None, f"layers tested, l the output of block l; by default the {MOST_LAYERS} with most pivots", least=0
    )
    interventions: list[str] = option(
        ["ablate", "swap"], "what is done to a token's direction", choices=("ablate", "swap", "add", "patch")
    )
    directions: list[str] = option(
        ["unembedding"],
        "what a token's direction is; lens needs --tuned-lens",
        choices=("unembedding", "lens", "means"),
    )
    strengths: list[float] = option([0.5, 1.0, 2.0], "how much of a direction `add` adds", least=-math.inf)


def causal(run: RunFolder, settings: CausalSettings) -> None:
    from pivotkit.causal.causal_test import causal_test
    from pivotkit.causal.effects import causal_effects
    from pivotkit.lens.fitted import load_lens
    from pivotkit.lens.specific_tokens import specific_tokens
    from pivotkit.lens.strict_rule import require_contrasts

    if "lens" in settings.directions and settings.tuned_lens is None:
        raise ValueError("causal: --tuned-lens must be given where --directions names lens; got none")
    items, traces = read_table(run / "items.parquet"), run.gather("traces")
    require_contrasts("causal", traces, "the tokens that it tests")
    specific = specific_tokens(
        traces, items, least_contrast=settings.least_contrast, least_probability=settings.min_probability
    )
    tokens = chosen_tokens(specific)
    layers = settings.layers
    if layers is None:
        layers = layers_of_pivots(tokens, last=pc.max(traces["layer"]).as_py())
    model, tokenizer, head = loaded_model(settings)
    lens = load_lens(str(settings.tuned_lens), head) if "lens" in settings.directions else None
    found = causal_test(
        model, items, tokenizer, tokens, layers=layers, interventions=settings.interventions,
        directions=settings.directions, strengths=settings.strengths, lens=lens, seed=settings.seed, head=head,
    )  # fmt: skip
    write_table(found, run / "causal.parquet")
    write_table(causal_effects(found, seed=settings.seed), run / "causal_effects.parquet")


CAUSAL = Stage(
    name="causal",
    help="test what the answer loses without the tokens that a layer shows for one item",
    run=causal,
    reads=("items.parquet", "traces", MODEL),
    uses=(TUNED_LENS,),
    writes=("causal.parquet", "causal_effects.parquet"),
    settings=(
        "dtype", "device", "min_probability", "least_contrast", "layers", "interventions", "directions", "strengths",
        "seed",
    ),
    functions=(
        "lens.specific_tokens.specific_tokens", "causal.causal_test.causal_test", "causal.effects.causal_effects",
    ),
    form=CausalSettings,
)  # fmt: skip


def chosen_tokens(specific: pa.Table) -> pa.Table:
    """The tokens that are tested: of each item, layer and class the most probable one that is specific to the item.

    Parameters
    ----------
    specific : pyarrow.Table
        The result of `specific_tokens`, which is ordered by falling probability.

    Returns
    -------
    pyarrow.Table
        Columns ``item, layer, token_id, class``. Pieces of words are left out.
    """
    words = specific.filter(pc.is_in(specific["class"], pa.array(TESTED)))
    numbered = words.append_column("row", pa.array(np.arange(words.num_rows)))
    first = numbered.group_by(["item", "layer", "class"]).aggregate([("row", "min")])["row_min"]
    return words.take(np.sort(first.to_numpy())).select(["item", "layer", "token_id", "class"])


def layers_of_pivots(tokens: pa.Table, last: int) -> list[int]:
    """The layers before ``last`` in which most items hold a pivot, in order; of equal ones the lower.

    How many pivots a layer shows says nothing of what they do, so the choice does not bend the effects.
    """
    pivots = tokens.filter(pc.equal(tokens["class"], "pivot"))
    count = Counter(layer for layer in pivots["layer"].to_pylist() if layer < last)
    best = sorted(count, key=lambda layer: (-count[layer], layer))[:MOST_LAYERS]
    chosen = sorted(layer for layer in best if count[layer] >= LEAST_ITEMS)
    if not chosen:
        most = f"{count[best[0]]}, in layer {best[0]}" if best else "none"
        raise ValueError(
            f"causal: --layers must be given where no layer before the last has a pivot for {LEAST_ITEMS} items; "
            f"got at most {most}"
        )
    return chosen
