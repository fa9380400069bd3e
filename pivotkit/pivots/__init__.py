"""Association measures, pivots and hubs."""
