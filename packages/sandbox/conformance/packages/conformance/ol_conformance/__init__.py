"""A package that zygotes of the conformance suite import."""

ANSWER = 42
