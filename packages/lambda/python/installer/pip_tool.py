"""Resolving and installing with pip."""

import json
import re
import sys

from pins import CACHE, check_hashes, hash_options, normal, write_requirements

_REPORT = "/tmp/report.json"
# It goes on without such a page, says so only if it says much (-vv), and in the end that there is no such version.
_NOT_FETCHED = "Could not fetch URL"
_VERSION = re.compile(r"pip (\d+)\.(\d+)")
# The first with --report.
_OLDEST = (22, 2)

# pip has the library that understands markers; ours is not it.
_EDGES = """
import json, sys
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name

found = json.load(sys.stdin)
needs = {name: [Requirement(line) for line in entry["lines"]] for name, entry in found.items()}
extras = {name: set(entry["extras"]) for name, entry in found.items()}
edges = {name: set() for name in found}
changed = True
while changed:
    changed = False
    for name, lines in needs.items():
        for line in lines:
            other = canonicalize_name(line.name)
            with_extras = extras[name] or {""}
            if other not in found or not (
                line.marker is None or any(line.marker.evaluate({"extra": extra}) for extra in with_extras)
            ):
                continue
            if other not in edges[name] or not line.extras <= extras[other]:
                edges[name].add(other)
                extras[other] |= line.extras
                changed = True
json.dump({name: sorted(others) for name, others in edges.items()}, sys.stdout)
"""


class Pip:
    name = "pip"
    # It computes more than it waits.
    at_once = 2

    def __init__(self, runner):
        self._command = [sys.executable, "-m", "pip", "install", "-vv", "--disable-pip-version-check", "--no-input"]
        self._runner = runner.with_variables(
            {
                "PIP_CACHE_DIR": CACHE,
                "PIP_NO_COLOR": "1",
                "PIP_PROGRESS_BAR": "off",
                "PIP_ROOT_USER_ACTION": "ignore",
                # What it installs to is no part of the machine's Python, whoever manages that.
                "PIP_BREAK_SYSTEM_PACKAGES": "1",
            }
        )

    def resolve(self, lines, source):
        requirements = write_requirements("requirements", lines)
        options = ["--dry-run", "--ignore-installed", "--report", _REPORT, *_wheels(source)]
        self._run(*options, "-r", requirements)
        with open(_REPORT, encoding="utf-8") as file:
            entries = json.load(file)["install"]
        pins = [_pin(entry) for entry in entries]
        check_hashes(pins)
        edges = self._edges(entries)
        for pin in pins:
            pin["requires"] = edges[pin["name"]]
        return pins

    def _edges(self, entries):
        found = {
            normal(entry["metadata"]["name"]): {
                "lines": entry["metadata"].get("requires_dist", []),
                "extras": entry.get("requested_extras", []),
            }
            for entry in entries
        }
        return json.loads(self._runner.run([sys.executable, "-c", _EDGES], json.dumps(found)))

    def install(self, pin, target, source):
        requirements = write_requirements(pin["directory"], [f"{pin['name']}=={pin['version']} {hash_options(pin)}"])
        options = ["--target", target, "--no-deps", "--no-compile", "--require-hashes", *_wheels(source)]
        self._run(*options, "-r", requirements)

    def _run(self, *options):
        self._runner.run([*self._command, *options], telling=_NOT_FETCHED)


def _wheels(source):
    return [] if source else ["--only-binary", ":all:"]


def _pin(entry):
    digest = entry["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
    return {
        "name": normal(entry["metadata"]["name"]),
        "version": entry["metadata"]["version"],
        "hashes": [] if digest is None else [digest],
    }


def is_new_enough(text):
    """`text` is such as `pip 23.2.1`."""
    found = _VERSION.match(text)
    return found is not None and (int(found[1]), int(found[2])) >= _OLDEST
