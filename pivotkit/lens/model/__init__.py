"""What a model is: loaded, described as data, proved, and run."""

from pivotkit.lens.model.loading import load_model, load_tokenizer

__all__ = ["load_model", "load_tokenizer"]
