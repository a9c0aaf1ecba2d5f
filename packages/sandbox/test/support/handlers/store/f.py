"""Writes a file of so many MB into its scratch directory."""


def f(event):
    with open("/host/stored", "wb") as file:
        for _ in range(event["mb"]):
            file.write(b"x" * 1024 * 1024)
    return "stored"
