"""Never returns and swallows whatever is raised in it."""


def f(event):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
