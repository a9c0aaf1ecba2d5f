"""The broker: the one part of the engine that has privileges on the host. It runs no lambda and no package code."""
