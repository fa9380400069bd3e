"""A run's artifacts in the formats of other tools."""
