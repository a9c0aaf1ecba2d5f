"""A child of a child, whose parent has ended."""

import subprocess

subprocess.run(["sh", "-c", "sleep 60 & true"], check=True)
