"""How well co-occurrence in the corpus predicts the behavior of the model."""

from pivotkit.attribution.attribute import attribute

__all__ = ["attribute"]
