"""The guard: documents that no arm may have, told before any selection."""
