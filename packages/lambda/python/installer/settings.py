"""Configuration of pip and uv, as whoever runs the worker has it, for programs that run in here."""

import configparser
import io
import os
import re

from reasons import FAILED, Failure
from secrets_of import Secrets

_DIRECTORY = "/tmp/settings"
_MACHINE_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_VARIABLES = {"pip.conf": "PIP_CONFIG_FILE", "uv.toml": "UV_CONFIG_FILE", "netrc": "NETRC", "ca.pem": "SSL_CERT_FILE"}
# What both have, each by its own name.
_SAME_FOR_UV = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_DEFAULT_TIMEOUT": "UV_HTTP_TIMEOUT",
}
_OTHER_INDEXES = re.compile(r"(PIP|UV)_.*(INDEX|FIND_LINKS)", re.IGNORECASE)
_ABOUT_INDEXES = ("index-url", "extra-index-url", "find-links", "no-index")


class Settings:
    """`environment` is that of the programs, `secrets` what their texts must not say."""

    def __init__(self, files, only_index):
        """`files` by their names in _VARIABLES; `only_index` is the one index there is, whatever they say of others."""
        if only_index is not None:
            files = _without_indexes(files)
        self.environment = dict(os.environ)
        # Else Python would write into packages' sources, which fails.
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for name, text in files.items():
            self._write(name, text)
        if os.path.exists(_MACHINE_AUTHORITIES):
            # Else uv goes by a list of its own, which knows no company's proxy.
            self.environment.setdefault("SSL_CERT_FILE", _MACHINE_AUTHORITIES)
        if only_index is not None:
            for variable in [name for name in self.environment if _OTHER_INDEXES.match(name)]:
                del self.environment[variable]
            self.environment["PIP_INDEX_URL"] = self.environment["UV_DEFAULT_INDEX"] = only_index
        for variable, value in as_uv_knows(files.get("pip.conf", "")).items():
            self.environment.setdefault(variable, value)
        for ours, theirs in _SAME_FOR_UV.items():
            if ours in self.environment:
                self.environment.setdefault(theirs, self.environment[ours])
        self._leave_out_directories()
        self.secrets = Secrets([*self.environment.values(), *files.values()], self.environment.get("NETRC"))

    def _write(self, name, text):
        os.makedirs(_DIRECTORY, exist_ok=True)
        path = os.path.join(_DIRECTORY, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        self.environment[_VARIABLES[name]] = path
        if name == "ca.pem":
            self.environment["PIP_CERT"] = path

    def _leave_out_directories(self):
        """Directories of the host are not to be seen from here."""
        for variable in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
            links = [link for link in re.split(r"[\s,]+", self.environment.pop(variable, "")) if "://" in link]
            if links:
                self.environment[variable] = " ".join(links)


def as_uv_knows(text):
    """What of pip's configuration is about indexes, as variables that uv reads."""
    found = {}
    parser = _parsed(text)
    for section in ("global", "install"):
        if parser.has_section(section):
            for option, value in parser.items(section):
                variable = _SAME_FOR_UV.get("PIP_" + option.upper().replace("-", "_"))
                if variable:
                    found[variable] = " ".join(value.split())
    return found


def _without_indexes(files):
    """uv's own file is left out as a whole: Python reads TOML only since 3.11."""
    kept = {name: text for name, text in files.items() if name not in ("uv.toml", "pip.conf")}
    if "pip.conf" in files:
        parser = _parsed(files["pip.conf"])
        for section in parser.sections():
            for option in list(parser[section]):
                if option.replace("_", "-") in _ABOUT_INDEXES:
                    parser.remove_option(section, option)
        text = io.StringIO()
        parser.write(text)
        kept["pip.conf"] = text.getvalue()
    return kept


def _parsed(text):
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        # Not with the line, which may hold a password.
        raise Failure(FAILED, f"pip.conf of the worker cannot be read: {type(error).__name__}") from None
    return parser
