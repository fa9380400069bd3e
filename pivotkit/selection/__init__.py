"""Document scores, budgeted selection and writers."""

from pivotkit.selection.scores import score_documents
from pivotkit.selection.select import select
from pivotkit.selection.write import write_selection

__all__ = ["score_documents", "select", "write_selection"]
