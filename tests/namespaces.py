"""Namespaces for a test: root's, or those of a user who may have a user namespace."""
import os
import shutil
import subprocess
import sys

INSIDE = "POSTHORN_TEST_NAMESPACES"


def enter(*kinds):
    """Runs this program again in new namespaces of these kinds ("net", "mount"), where it has the rights that they take; true there. False where that
    cannot be."""
    if os.environ.get(INSIDE):
        return True
    words = ["unshare", *(f"--{kind}" for kind in kinds)]
    if os.getuid() != 0:
        words += ["--user", "--map-current-user", "--keep-caps"]
    if not shutil.which("unshare") or subprocess.run([*words, "true"], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        return False
    os.environ[INSIDE] = "1"
    os.execvp("unshare", [*words, sys.executable, *sys.argv])
    return True
