import subprocess

LEFT = subprocess.Popen(["sleep", "60"])
