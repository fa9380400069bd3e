"""One self-contained HTML page of everything that a run folder holds, or of several runs side by side."""

from pivotkit.report.page import write_comparison, write_report

__all__ = ["write_comparison", "write_report"]
