"""Document scores, budgeted selection and writers."""
