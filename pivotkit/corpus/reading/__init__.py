"""Text files and token files: cut into units, read in blocks, strictly and in bounded memory."""
