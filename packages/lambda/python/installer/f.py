"""What resolves, installs and compiles packages: a lambda of the worker's own, so that all of it happens in a sandbox.

`resolve` turns requirement lines into pins, `install` puts each pin into a directory of its own below /host/out, `compile`
makes the .pyc files of an installed package, which nobody could make later: packages are read-only. uv does the work where
it is to be had, else pip. With wheels only, which is the default, nothing of a package is run.

An answer is {"ok": true, ...} or {"ok": false, "kind": KIND, "reason": TEXT}: `unsatisfiable` (the lines ask for what there
is not), `mismatch` (a file is not the one that was resolved), `unreachable` (the index does not answer), `failed` (anything
else), `no-tool` (neither uv nor pip).
"""

import configparser
import importlib.util
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

_SETTINGS = "/tmp/settings"
_MACHINE_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_OUT = "/host/out"
_COMPILED = ".compiled"
_CACHE = "/host/cache"
_REQUIREMENTS = "/tmp/requirements.txt"
_REASON_CHARACTERS = 4_000
_UV_AT_ONCE = 6
_PIP_AT_ONCE = 2
_NICE = 5

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_SECRET = re.compile(r"(://)[^/@\s]+@")
_NOT_ANSWERING = re.compile(
    r"timed? ?out|error sending request|connection (refused|reset|broken|error)|could not connect|failed to fetch|dns error"
    r"|name or service not known|temporary failure in name resolution|newconnectionerror|max retries|remotedisconnected"
    r"|network is unreachable|no route to host|\b50[0234]\b|incompletebody|bytes missing|end of file before",
    re.IGNORECASE,
)
_MISMATCH = re.compile(r"hash mismatch|do not match the hashes|hashes are required|no known hash", re.IGNORECASE)
_UNSATISFIABLE = re.compile(
    r"no solution found|no matching distribution|could not find a version|conflicting dependencies|resolutionimpossible"
    r"|not found in the (package )?registry|no wheels|no usable wheels|invalid requirement|requires-python"
    r"|requires a different python|has no (usable|compatible)",
    re.IGNORECASE,
)
# Directories of a wheel that hold no module that anybody could import from the top.
_NO_MODULES = (".dist-info", ".data", ".libs", ".egg-info")
# Nobody imports a package's own tests in production; they are half of some packages, and work uncompiled.
_NOT_COMPILED = ("tests", "test", "__pycache__")


class Failure(Exception):
    def __init__(self, kind, reason):
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


def f(event):
    try:
        operation = {"resolve": _resolve, "install": _install, "compile": _compile}[event["op"]]
        return {"ok": True, **operation(event)}
    except Failure as failure:
        return {"ok": False, "kind": failure.kind, "reason": failure.reason}


# Resolving


def _resolve(event):
    tool = _tool(event)
    text = "\n".join(event["lines"]) + "\n"
    with open(_REQUIREMENTS, "w", encoding="utf-8") as file:
        file.write(text)
    pins = tool.resolve(event.get("source", False))
    return {"tool": tool.name, "pins": pins}


class _Uv:
    name = "uv"
    at_once = _UV_AT_ONCE

    def __init__(self, program, environment):
        self._program = program
        self._environment = {
            **environment,
            "UV_CACHE_DIR": _CACHE,
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_LINK_MODE": "hardlink",
        }

    def resolve(self, source):
        arguments = ["pip", "compile", "--quiet", "--python", sys.executable, "--generate-hashes", "--no-header"]
        arguments += [] if source else ["--only-binary", ":all:"]
        return parse_compiled(_run([self._program, *arguments, _REQUIREMENTS], self._environment))

    def install(self, requirements, target, source):
        arguments = ["pip", "install", "--quiet", "--python", sys.executable, "--target", target, "--no-deps"]
        arguments += ["--require-hashes", *([] if source else ["--only-binary", ":all:"])]
        _run([self._program, *arguments, "-r", requirements], self._environment)
        lock = os.path.join(target, ".lock")
        if os.path.exists(lock):
            os.unlink(lock)


def parse_compiled(text):
    """What `uv pip compile --generate-hashes` writes: pins, and who wants each."""
    pins = []
    wanted_by = {}
    in_via = False
    for line in text.splitlines():
        found = _PIN.match(line)
        if found:
            pins.append({"name": _normal(found[1]), "version": found[2], "hashes": [], "requires": []})
            in_via = False
        elif not pins:
            continue
        pins[-1]["hashes"] += _HASH.findall(line) if pins else []
        comment = line.strip()
        if comment.startswith("# via"):
            in_via = True
            comment = "#" + comment[len("# via") :]
        if in_via and comment.startswith("#"):
            name = comment[1:].strip()
            if name and not name.startswith("-"):
                wanted_by.setdefault(_normal(name.split("[")[0]), []).append(pins[-1]["name"])
    for pin in pins:
        pin["hashes"].sort()
        pin["requires"] = sorted(set(wanted_by.get(pin["name"], [])))
    return pins


class _Pip:
    name = "pip"
    at_once = _PIP_AT_ONCE

    def __init__(self, environment):
        self._command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
        self._environment = {**environment, "PIP_CACHE_DIR": _CACHE, "PIP_NO_COLOR": "1", "PIP_ROOT_USER_ACTION": "ignore"}

    def resolve(self, source):
        report = "/tmp/report.json"
        arguments = ["install", "--quiet", "--dry-run", "--ignore-installed", "--report", report]
        arguments += [] if source else ["--only-binary", ":all:"]
        _run([*self._command, *arguments, "-r", _REQUIREMENTS], self._environment)
        with open(report, encoding="utf-8") as file:
            return [self._pin(entry) for entry in json.load(file)["install"]]

    def _pin(self, entry):
        metadata = entry["metadata"]
        hashes = entry["download_info"].get("archive_info", {}).get("hashes", {})
        if "sha256" not in hashes:
            raise Failure("failed", f"the index gives no sha256 for {metadata['name']}")
        return {
            "name": _normal(metadata["name"]),
            "version": metadata["version"],
            "hashes": [hashes["sha256"]],
            "requires": _required(metadata.get("requires_dist", []), entry.get("requested_extras", [])),
        }

    def install(self, requirements, target, source):
        arguments = ["install", "--quiet", "--target", target, "--no-deps", "--no-compile", "--require-hashes"]
        arguments += [] if source else ["--only-binary", ":all:"]
        _run([*self._command, *arguments, "-r", requirements], self._environment)


def _required(lines, extras):
    """The names that a package needs here. pip has the library that understands its markers."""
    finder = "import json, sys; from pip._vendor.packaging.requirements import Requirement as R; lines, extras = json.load(sys.stdin)"
    rule = "not r.marker or any(r.marker.evaluate({'extra': e}) for e in (extras or ['']))"
    program = f"{finder}; print(json.dumps([r.name for r in map(R, lines) if {rule}]))"
    found = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps([lines, extras]), capture_output=True, text=True
    )
    if found.returncode != 0:
        raise Failure("failed", _tail(found.stderr))
    return sorted({_normal(name) for name in json.loads(found.stdout)})


# Installing


def _install(event):
    tool = _tool(event)
    source = event.get("source", False)
    with ThreadPoolExecutor(tool.at_once) as threads:
        results = list(threads.map(lambda pin: _install_one(tool, pin, source), event["pins"]))
    return {"tool": tool.name, "results": results}


def _install_one(tool, pin, source):
    target = os.path.join(_OUT, pin["directory"])
    requirements = f"/tmp/{pin['directory']}.txt"
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in pin["hashes"])
    with open(requirements, "w", encoding="utf-8") as file:
        file.write(f"{pin['name']}=={pin['version']} {hashes}\n")
    try:
        tool.install(requirements, target, source)
        return {"ok": True, "bytes": _size(target), "modules": top_level(target)}
    except Failure as failure:
        shutil.rmtree(target, ignore_errors=True)
        return {"ok": False, "kind": failure.kind, "reason": failure.reason}


def _size(directory):
    return sum(
        os.lstat(os.path.join(where, name)).st_size for where, _names, files in os.walk(directory) for name in files
    )


def top_level(directory):
    """The names that can be imported from a package directory."""
    names = set()
    for entry in os.scandir(directory):
        if entry.is_dir():
            plain = entry.name.isidentifier() and not entry.name.startswith("__") and entry.name != "bin"
            if plain and not entry.name.endswith(_NO_MODULES):
                names.add(entry.name)
        elif entry.name.endswith((".py", ".so")) and entry.name.split(".")[0].isidentifier():
            names.add(entry.name.split(".")[0])
    return sorted(names)


# Compiling


def _compile(event):
    os.nice(_NICE)
    # As guests see it, which is what tracebacks show.
    top = os.path.join("/packages", event["directory"])
    files = list(_sources(top))
    count = max(1, min(len(os.sched_getaffinity(0)), len(files)))
    children = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            # Never back into the caller.
            try:
                for path in files[number::count]:
                    _compile_one(path, top)
            finally:
                os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    os.makedirs(_OUT, exist_ok=True)
    with open(os.path.join(_OUT, _COMPILED), "wb"):
        # Says that there is no more to compile.
        pass
    return {"files": len(files)}


def _sources(top):
    for where, names, files in os.walk(top):
        names[:] = [name for name in names if name not in _NOT_COMPILED]
        for name in files:
            if name.endswith(".py"):
                yield os.path.join(where, name)


def _compile_one(path, top):
    compiled = importlib.util.cache_from_source(os.path.join(_OUT, os.path.relpath(path, top)))
    try:
        py_compile.compile(path, cfile=compiled, dfile=path, doraise=True, quiet=2)
    except (py_compile.PyCompileError, OSError, ValueError, RecursionError):
        # Templates and code for other Pythons; whoever imports it hears of it.
        return


# Tools


def _tool(event):
    environment = _write_settings(event.get("settings", {}))
    for program in ("/handler/uv", shutil.which("uv", path=environment["PATH"])):
        # One of the machine's may not run in another base.
        if program and os.path.exists(program) and _works([program, "--version"], environment):
            return _Uv(program, environment)
    if _works([sys.executable, "-m", "pip", "--version"], environment):
        return _Pip(environment)
    raise Failure("no-tool", "there is neither uv nor pip here")


def _works(command, environment):
    try:
        return subprocess.run(command, env=environment, capture_output=True).returncode == 0
    except OSError:
        return False


def _write_settings(files):
    """Configuration files of pip and uv, as whoever runs the worker has them; and the environment that names them."""
    os.makedirs(_SETTINGS, exist_ok=True)
    environment = dict(os.environ)
    # Else Python would write into packages' sources, which fails.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    names = {"pip.conf": "PIP_CONFIG_FILE", "uv.toml": "UV_CONFIG_FILE", "netrc": "NETRC", "ca.pem": "SSL_CERT_FILE"}
    for name, text in files.items():
        path = os.path.join(_SETTINGS, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)
        environment[names[name]] = path
        if name == "ca.pem":
            environment["PIP_CERT"] = path
    if os.path.exists(_MACHINE_AUTHORITIES):
        # Else uv goes by a list of its own, which knows no company's proxy.
        environment.setdefault("SSL_CERT_FILE", _MACHINE_AUTHORITIES)
    if "pip.conf" in files:
        for variable, value in as_uv_knows(files["pip.conf"]).items():
            environment.setdefault(variable, value)
    for ours, theirs in _SAME_FOR_UV.items():
        if ours in environment:
            environment.setdefault(theirs, environment[ours])
    for variable in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        # Directories of the host are not to be seen from here.
        links = [link for link in re.split(r"[\s,]+", environment.pop(variable, "")) if "://" in link]
        if links:
            environment[variable] = " ".join(links)
    return environment


_SAME_FOR_UV = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_DEFAULT_TIMEOUT": "UV_HTTP_TIMEOUT",
}


def as_uv_knows(text):
    """What of pip's configuration is about indexes, as variables that uv reads."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise Failure("failed", f"pip.conf: {error.message}") from None
    found = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            for option, value in parser.items(section):
                variable = _SAME_FOR_UV.get("PIP_" + option.upper().replace("-", "_"))
                if variable:
                    found[variable] = " ".join(value.split())
    return found


def _run(command, environment):
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", cwd="/tmp")
    if ended.returncode == 0:
        return ended.stdout
    text = ended.stderr or ended.stdout
    if ended.returncode < 0:
        raise Failure("failed", f"{_tail(text)}\nit was ended by signal {-ended.returncode}".strip())
    raise Failure(kind_of(text), _tail(text))


def kind_of(text):
    """Which of the reasons a tool's text gives. Not answering comes first: pip says besides that there is no such version."""
    if _MISMATCH.search(text):
        return "mismatch"
    if _NOT_ANSWERING.search(text):
        return "unreachable"
    return "unsatisfiable" if _UNSATISFIABLE.search(text) else "failed"


def _tail(text):
    """The end, without what an index's address may hold of a password."""
    plain = _SECRET.sub(r"\1***@", text).strip()
    return plain if len(plain) <= _REASON_CHARACTERS else f"[...]{plain[-_REASON_CHARACTERS:]}"


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()
