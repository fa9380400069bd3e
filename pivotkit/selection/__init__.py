"""Document scores, budgeted selection and writers."""

from pivotkit.selection.choosing.select import select
from pivotkit.selection.mixing.mix import mix
from pivotkit.selection.scoring.scores import score_documents
from pivotkit.selection.writing.write import write_selection

__all__ = ["mix", "score_documents", "select", "write_selection"]
