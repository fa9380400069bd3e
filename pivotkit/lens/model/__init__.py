"""The model itself: loading, describing its parts, proving the description, running it."""

from pivotkit.lens.model.loading import find_model, load_model, load_tokenizer, model_cache

__all__ = ["find_model", "load_model", "load_tokenizer", "model_cache"]
