"""What the testbed adds to the command line: its stages, and the demo that runs them all."""
