"""Text files and token files, cut into units and read in blocks, strictly and in bounded memory."""
