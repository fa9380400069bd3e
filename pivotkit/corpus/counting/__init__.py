"""One unit at a time into counts on disk, and those into one sum."""
