"""How well co-occurrence predicts behavior, whether the corpus's pivots are the model's, and both in sentences."""

from pivotkit.attribution.attribute import attribute
from pivotkit.attribution.finding import finding

__all__ = ["attribute", "finding"]
