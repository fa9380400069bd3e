"""Documents, token stores, watch lists and counts."""
