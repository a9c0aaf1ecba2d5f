"""A namespace package as it was made before Python had them."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
