"""Selected documents written with their provenance."""
