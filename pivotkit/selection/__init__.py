"""Document scores, budgeted selection and writers."""

from pivotkit.selection.choosing.select import select
from pivotkit.selection.controls.arms_table import arms_table
from pivotkit.selection.controls.controls import selection_controls
from pivotkit.selection.controls.describe import describe_documents
from pivotkit.selection.controls.pivot_sets import control_pivots, pivot_permutation
from pivotkit.selection.controls.shuffle import shuffle_pivots
from pivotkit.selection.guard.filter_documents import filter_documents
from pivotkit.selection.mixing.mix import mix
from pivotkit.selection.scoring.scores import score_documents
from pivotkit.selection.writing.write import write_selection

__all__ = [
    "arms_table",
    "control_pivots",
    "describe_documents",
    "filter_documents",
    "mix",
    "pivot_permutation",
    "score_documents",
    "select",
    "selection_controls",
    "shuffle_pivots",
    "write_selection",
]
