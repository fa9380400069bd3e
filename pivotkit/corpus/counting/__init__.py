"""Counting each unit into a file, and adding up the files."""
