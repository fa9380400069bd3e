"""How well co-occurrence in the corpus predicts the behavior of the model, and whether its pivots are the model's."""

from pivotkit.attribution.attribute import attribute

__all__ = ["attribute"]
