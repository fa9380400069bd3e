"""pivotkit: semantic pivots in multilingual language models, from the model's layers to its pre-training corpus."""
