# A lambda is a function f(event): what it is called with is JSON, what it returns becomes JSON.
#
#   npx ol-admin invoke hello -d '{"name": "Alice"}'


def f(event):
    return f"Hello, {event.get('name', 'World')}!"
