"""Scores of documents by the pivots in them."""
