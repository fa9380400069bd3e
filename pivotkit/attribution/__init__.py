"""How well co-occurrence in the corpus predicts the behavior of the model, and what a run found, in sentences."""

from pivotkit.attribution.attribute import attribute
from pivotkit.attribution.finding import finding

__all__ = ["attribute", "finding"]
