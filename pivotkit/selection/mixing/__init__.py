"""Selections and base data in training order, by weights."""
