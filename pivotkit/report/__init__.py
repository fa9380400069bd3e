"""One self-contained HTML page of everything that a run folder holds."""

from pivotkit.report.page import write_report

__all__ = ["write_report"]
