"""Continued pre-training, and the small training loop that it uses."""
