"""The documents of a token budget, chosen by their scores."""
