"""What a count leaves behind: counts, context tables, postings, and the counts of single units."""
