"""What a model's layers predict: score, trace, tuned lens, behavior; ``model`` holds the model itself."""
