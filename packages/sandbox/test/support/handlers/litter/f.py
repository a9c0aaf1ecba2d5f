"""Leaves in its scratch what is hard to remove: {"depth", "closed", "files"} as many nested directories, directories of
mode 0 with something in them, and files. Links that point out of the scratch directory come on top."""

import os


def f(event):
    os.symlink("/etc", "/host/etc")
    os.symlink("/", "/host/stdout.new")
    os.rename("/host/stdout.new", "/host/server_pipe")
    for number in range(event["closed"]):
        os.makedirs(f"/host/closed-{number}/inside")
        os.chmod(f"/host/closed-{number}", 0)
    os.mkdir("/host/many")
    for number in range(event["files"]):
        os.close(os.open(f"/host/many/{number}", os.O_WRONLY | os.O_CREAT, 0))
    os.mkdir("/host/deep")
    os.chdir("/host/deep")
    for _ in range(event["depth"]):
        os.mkdir("directory-with-a-name")
        os.chdir("directory-with-a-name")
    os.chmod("/host", 0)
    return "done"
