"""Continued pre-training, and the small training loop below it."""
