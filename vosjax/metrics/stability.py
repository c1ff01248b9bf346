"""Temporal stability T."""
