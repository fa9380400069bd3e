"""Documents of each selection and control of a run, drawn and cut to what a page can show."""
