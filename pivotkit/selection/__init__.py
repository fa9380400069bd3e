"""Document scores, budgeted selection and writers."""

from pivotkit.selection.choosing.select import select
from pivotkit.selection.controls.arms_table import arms_table
from pivotkit.selection.controls.controls import selection_controls
from pivotkit.selection.scoring.scores import score_documents
from pivotkit.selection.writing.write import write_selection

__all__ = ["arms_table", "score_documents", "select", "selection_controls", "write_selection"]
