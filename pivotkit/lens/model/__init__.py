"""The model itself: loading, describing its parts, proving the description, running it."""

from pivotkit.lens.model.loading import load_model, load_tokenizer

__all__ = ["load_model", "load_tokenizer"]
