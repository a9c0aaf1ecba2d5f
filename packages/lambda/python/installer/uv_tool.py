"""Resolving and installing with uv."""

import os
import re
import sys

from pins import CACHE, check_hashes, hash_options, normal, write_requirements

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Uv:
    name = "uv"
    # Mostly it waits for the index.
    at_once = 6

    def __init__(self, program, runner):
        self._program = program
        self._runner = runner.with_variables(
            {
                "UV_CACHE_DIR": CACHE,
                "UV_NO_PROGRESS": "1",
                "UV_PYTHON_DOWNLOADS": "never",
                "UV_LINK_MODE": "hardlink",
            }
        )

    def resolve(self, lines, source):
        requirements = write_requirements("requirements", lines)
        options = ["--generate-hashes", "--no-header", "--annotate", "--annotation-style", "split"]
        command = [self._program, "pip", "compile", "--quiet", "--python", sys.executable, *options, *_wheels(source)]
        pins = parse_compiled(self._runner.run([*command, requirements]))
        check_hashes(pins)
        return pins

    def install(self, pin, target, source):
        requirements = write_requirements(pin["directory"], [f"{pin['name']}=={pin['version']} {hash_options(pin)}"])
        options = ["--target", target, "--no-deps", "--require-hashes", *_wheels(source)]
        command = [self._program, "pip", "install", "--quiet", "--python", sys.executable, *options]
        self._runner.run([*command, "-r", requirements])
        lock = os.path.join(target, ".lock")
        if os.path.lexists(lock):
            os.unlink(lock)


def _wheels(source):
    return [] if source else ["--only-binary", ":all:"]


def parse_compiled(text):
    """What `uv pip compile --generate-hashes` writes: pins, and who wants each."""
    pins = []
    wanted_by = {}
    in_via = False
    for line in text.splitlines():
        found = _PIN.match(line)
        if found:
            pins.append({"name": normal(found[1]), "version": found[2], "hashes": [], "requires": []})
            in_via = False
        elif not pins:
            continue
        pins[-1]["hashes"] += _HASH.findall(line)
        comment = line.strip()
        if comment.startswith("# via"):
            in_via = True
            comment = "#" + comment[len("# via") :]
        if in_via and comment.startswith("#"):
            name = comment[1:].strip()
            # A file of requirements is no package.
            if name and not name.startswith("-"):
                wanted_by.setdefault(normal(name.split("[")[0]), []).append(pins[-1]["name"])
    for pin in pins:
        pin["hashes"] = sorted(set(pin["hashes"]))
        pin["requires"] = sorted(set(wanted_by.get(pin["name"], [])))
    return pins
