"""The results of a count: counts, context tables, postings, and the counts of single units."""
