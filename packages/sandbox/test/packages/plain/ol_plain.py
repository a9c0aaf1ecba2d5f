"""A package as most are."""

VALUE = "imported in advance"
