"""Watched words in text and in token ids."""
