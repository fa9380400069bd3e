"""Association measures, pivots with their controls, and hubs."""

from pivotkit.pivots.find import find_pivots
from pivotkit.pivots.hubs import hub_pivots

__all__ = ["find_pivots", "hub_pivots"]
