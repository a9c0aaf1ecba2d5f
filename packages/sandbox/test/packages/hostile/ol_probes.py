"""Tries while it is imported what a zygote must not be able to do; sandboxes forked from it tell how it went."""

import json
import os

import f as probes

with open(os.path.join(os.path.dirname(__file__), "events.json"), encoding="utf-8") as file:
    REPORT = [probes.f(event) for event in json.load(file)]
