try:
    import ol_conformance
    import ol_conformance.more
except ImportError:
    ol_conformance = None


def f(event):
    return ol_conformance is not None
