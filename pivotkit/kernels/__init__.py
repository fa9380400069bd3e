"""Thin Python face of the native code."""
