"""A module of it."""
