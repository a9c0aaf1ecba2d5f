"""Is not Python."""

def f(event) return event
