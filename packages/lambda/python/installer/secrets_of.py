"""Users and passwords of indexes, which no text for others may hold."""

import netrc
import re
import urllib.parse

_IN_URL = re.compile(r"://([^/@\s\"']+)@")
_HIDDEN = "***"


class Secrets:
    """Finds them in addresses, whatever the variable or file, and in a netrc file."""

    def __init__(self, texts, netrc_path=None):
        words = set()
        for text in texts:
            for credentials in _IN_URL.findall(text):
                words.update(_spellings(credentials))
        if netrc_path is not None:
            words.update(_of_netrc(netrc_path))
        # The longest first: one may hold another.
        self._words = sorted((word for word in words if word), key=len, reverse=True)

    def hidden(self, text):
        for word in self._words:
            text = text.replace(word, _HIDDEN)
        return _IN_URL.sub(f"://{_HIDDEN}@", text)


def _spellings(credentials):
    user, colon, password = credentials.partition(":")
    # A token may stand in the user's place, and then there is no password; a mere user is no secret.
    for secret in (credentials, password if colon else user):
        yield secret
        yield urllib.parse.unquote(secret)


def _of_netrc(path):
    try:
        hosts = netrc.netrc(path).hosts
    except (netrc.NetrcParseError, UnicodeDecodeError):
        # Then uv and pip do not use it either.
        return
    for _user, _account, password in hosts.values():
        if password:
            yield password
