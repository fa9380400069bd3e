"""Every stage of a run on one folder: settings, the stages, and what is done already."""
