"""What the experiment is run on: the worlds of its pools, the sizes of its trainings, its seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pivotkit.testbed.config import WorldConfig
from pivotkit.testbed.trained import Recipe


def _world(direct: Mapping[str, float], pivot: Mapping[str, float]) -> WorldConfig:
    return WorldConfig(
        direct_documents=direct,
        pivot_documents=pivot,
        direct_lines={"ab": 0.4, "ba": 0.4, "ap": 0.05, "bp": 0.05, "pa": 0.05, "pb": 0.05},
        pivot_lines={"ap": 4, "bp": 4, "pa": 1, "pb": 1, "ab": 1, "ba": 1},
        late=0.0,
        direct_weight=1.0,
        held_out_weight=0.2,
        rounds=(3, 5),
        lines=(3, 6),
        filler=(0.0, 4.0),
    )


@dataclass(frozen=True)
class Setting:
    """A pool, the base model that is trained before it is selected from, and the trainings on the selections.

    Parameters
    ----------
    world : WorldConfig
        Shares of documents and lines. Its numbers of documents and blocks, and its seed, are not used.
    pool_documents : int
        Documents to select from.
    base_documents, base_blocks : int, default 14,400 and 9,600
        Documents and blocks of lines of the base's training.
    held_out_documents, arm_blocks : int, default 2,400 and 1,600
        Documents whose loss is measured; blocks of lines that all arms share. No two of the four parts share one.
    steps : int, default 105
        Updates of an arm. They decide the budget of a selection, `tokens`.
    checkpoints : int, default 5
        How often an arm is asked, at equal distances; the last time at the end.
    line_share : float, default 0.3
        Share of lines among the tokens of an arm.
    base_rate, rate, matrix_rate : float, default 3e-3, 4e-3 and 0.02
        AdamW's highest rate in the base and in an arm, and Muon's in both.
    warmup : int, default 10
        Steps until the highest rate.
    loss_rows : int, default 32
        Rows of held-out documents in each language.
    recipe : Recipe
        Shape of the model.
    """

    world: WorldConfig
    pool_documents: int
    base_documents: int = 14_400
    base_blocks: int = 9_600
    held_out_documents: int = 2_400
    arm_blocks: int = 1_600
    steps: int = 105
    checkpoints: int = 5
    line_share: float = 0.3
    base_rate: float = 3e-3
    rate: float = 4e-3
    matrix_rate: float = 0.02
    warmup: int = 10
    loss_rows: int = 32
    recipe: Recipe = field(default_factory=lambda: Recipe(layers=4, hidden=64, heads=4, feed_forward=128, initial=0.1))

    @property
    def tokens(self) -> int:
        """Tokens of documents that an arm selects, separators included: what its steps read beside the lines."""
        return round(self.steps * self.recipe.batch * self.recipe.length * (1 - self.line_share))


ALIKE, PARALLEL = "alike", "mostly parallel"
POOLS = {
    # One document in ten is bilingual, for direct and for pivot concepts.
    ALIKE: Setting(
        _world({"p": 0.6, "a": 0.15, "b": 0.15, "ab": 0.1}, {"p": 0.6, "a": 0.15, "b": 0.15, "ap": 0.05, "bp": 0.05}),
        pool_documents=64_000,
    ),
    # Four bilingual documents of five hold A with B.
    PARALLEL: Setting(
        _world({"p": 0.6, "a": 0.07, "b": 0.07, "ab": 0.26}, {"p": 0.6, "a": 0.17, "b": 0.17, "ap": 0.03, "bp": 0.03}),
        pool_documents=160_000,
    ),
}
SEEDS = {ALIKE: tuple(range(101, 109)), PARALLEL: tuple(range(201, 209))}  # none of them served to find the setting

BILINGUAL = 0.2  # of the documents of a grid's pool
GRID_TIMES = 4  # documents of a grid's pool, relative to the first pool: enough for the largest budget
GRID_SHARES = (0.1, 0.2, 0.35, 0.5, 0.7)  # documents with pivots among the bilingual ones
GRID_STEPS = (52, 105, 210)  # budgets of about 37,000, 75,000 and 151,000 tokens of documents
GRID_SEEDS = (301, 302, 303, 304)


def grid_setting(setting: Setting, share: float) -> Setting:
    """``setting`` with other documents: one in five is bilingual, and the given share of those holds a pivot."""
    pivot, direct = 2 * BILINGUAL * share, 2 * BILINGUAL * (1 - share)
    rest = 2 * BILINGUAL
    world = replace(
        setting.world,
        direct_documents={"p": 1 - rest, "a": (rest - direct) / 2, "b": (rest - direct) / 2, "ab": direct},
        pivot_documents={
            "p": 1 - rest, "a": (rest - pivot) / 2, "b": (rest - pivot) / 2, "ap": pivot / 2, "bp": pivot / 2
        },
    )  # fmt: skip
    documents = setting.pool_documents * GRID_TIMES
    return replace(setting, world=world, pool_documents=documents, base_documents=0, base_blocks=0)
