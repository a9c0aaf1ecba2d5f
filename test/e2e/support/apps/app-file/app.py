"""An app in a file of another name."""


def app(_environ, start_response):
    start_response("418 I'm a teapot", [("A", "B")])
    return [b"hi\n"]
