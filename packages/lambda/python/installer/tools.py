"""Which of uv and pip does the work, and how it is run."""

import os
import shutil
import signal
import subprocess
import sys

from pip_tool import Pip, is_new_enough
from reasons import FAILED, NO_SPACE, NO_TOOL, Failure, kind_of, readable
from settings import Settings
from uv_tool import Uv

# The worker's own, if it found one.
_GIVEN_UV = "/handler/uv"


class Runner:
    """Runs programs with the worker's settings, and says in words that hold none of their secrets why one failed."""

    def __init__(self, settings):
        self.environment = settings.environment
        self._secrets = settings.secrets

    def with_variables(self, variables):
        self.environment.update(variables)
        return self

    def run(self, command, given=None, telling=None):
        """What it prints. `telling`: lines of that which say what went wrong begin so; standard error does anyway."""
        ended = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            errors="replace",
            cwd="/tmp",
            **({"stdin": subprocess.DEVNULL} if given is None else {"input": given}),
        )
        if ended.returncode == 0:
            return ended.stdout
        said = [line.strip() for line in ended.stdout.splitlines()]
        told = [] if telling is None else [line for line in said if line.startswith(telling)]
        text = self._secrets.hidden("\n".join([*told, ended.stderr]))
        if ended.returncode == -signal.SIGXFSZ:
            raise Failure(NO_SPACE, "a file is larger than the sandbox may write")
        if ended.returncode < 0:
            raise Failure(FAILED, f"{readable(text)}\nit was ended by signal {-ended.returncode}".strip())
        raise Failure(kind_of(text), readable(text))

    def succeeds(self, command):
        """What it prints; None if it fails or there is none."""
        try:
            return self.run(command)
        except (Failure, OSError):
            return None


def find(event):
    wanted = event["tool"]
    runner = Runner(Settings(event["settings"], event.get("onlyIndex")))
    if wanted != "pip":
        for program in (_GIVEN_UV, shutil.which("uv", path=runner.environment["PATH"])):
            # One of the machine's may not run in another base.
            if program and os.path.exists(program) and runner.succeeds([program, "--version"]) is not None:
                return Uv(program, runner)
    if wanted != "uv":
        # Asking pip itself takes ten times as long.
        version = runner.succeeds([sys.executable, "-c", "import importlib.metadata as m; print('pip', m.version('pip'))"])
        if version is not None and is_new_enough(version):
            return Pip(runner)
    raise Failure(NO_TOOL, "there is neither uv nor a pip that is new enough")
