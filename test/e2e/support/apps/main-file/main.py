"""An app of another name in a file of another name."""


def my_wsgi_app(environ, start_response):
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]
