"""What a model is: loaded, described as data, proved, and run."""

from pivotkit.lens.model.loading import find_model, load_model, load_tokenizer, model_cache

__all__ = ["find_model", "load_model", "load_tokenizer", "model_cache"]
