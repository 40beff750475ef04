#!/usr/bin/env python3
"""./run for those who are not root: the one line that installs what is missing; or the post office at work, in its sandboxes, until Ctrl-C."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import e2e
from e2e import check, equal, skip

NOBODY = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
MISSING = ("no-such-package-a", "no-such-package-b")
PATIENCE = 120


def text_of(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, **NOBODY, **options)
    return result.returncode, result.stdout, result.stderr


def open_to_all(folder):
    """A copy of what ./run begins with, where nobody may look."""
    os.chmod(folder, 0o755)
    os.mkdir(os.path.join(folder, "tools"))
    for name in ("run", "tools/install-packages", "tools/packages-build", "tools/packages-test", "tools/packages-long"):
        shutil.copy(os.path.join(e2e.ROOT, name), os.path.join(folder, name))
    return folder


def the_line_to_run():
    """On standard output nothing but the command that root must give; nothing is built or started."""
    with tempfile.TemporaryDirectory(prefix="posthorn-run-") as folder:
        open_to_all(folder)
        for names in ((), MISSING):
            with open(os.path.join(folder, "tools", "packages-build"), "w", encoding="ascii") as file:
                file.write("\n".join(("# these", "dpkg", *names)) + "\n")
            status, said, _ = text_of(os.path.join(folder, "tools", "install-packages"), "build")
            equal(status, 1 if names else 0, "status")
            equal(said, f"apt-get update && apt-get install --no-install-recommends -y {' '.join(names)}\n" if names else "", "the line")
        status, said, _ = text_of(os.path.join(folder, "run"))
        equal((status, len(said.splitlines())), (1, 1), f"./run says {said}")


def status_of(pid):
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines())
    return {key: fields[key].strip() for key in ("NoNewPrivs", "Seccomp", "Uid")}


# The smallest Debian has no list of authorities to trust, and no /etc/hosts that knows localhost.
SMALL = r'''mount -t tmpfs none /etc/ssl/certs && { [ ! -e /etc/hosts ] || mount --bind /dev/null /etc/hosts; } &&
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"'''
ON_A_SMALL_HOST = ["unshare", "--mount", "sh", "-c", SMALL, "sh"] if os.getuid() == 0 else []


class Demonstration:
    """tools/demo as somebody who is not root."""

    def __init__(self, folder):
        environment = dict(os.environ, TMPDIR=folder, HOME=folder, PYTHONUNBUFFERED="1")
        self.process = subprocess.Popen([*ON_A_SMALL_HOST, os.path.join(e2e.ROOT, "tools", "demo")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, env=environment, start_new_session=True)
        self.said = ""

    def read_until(self, last):
        for line in self.process.stdout:
            self.said += line
            if last in line:
                return
        raise AssertionError(f"it ended: {self.said}")

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.said += self.process.stdout.read()
        return self.process.wait(PATIENCE)


def can_read(path):
    return subprocess.run(["test", "-r", path], check=False, **NOBODY).returncode == 0


def a_post_office_without_root():
    for path in (os.path.join(e2e.ROOT, "tools", "demo"), os.path.join(os.environ.get("POSTHORN_BUILD", ""), "daemons", "posthorn-master")):
        if not can_read(path):
            skip(f"others than root can't read {path}")
    with tempfile.TemporaryDirectory(prefix="posthorn-run-") as folder:
        if NOBODY:
            shutil.chown(folder, NOBODY["user"], NOBODY["group"])
        demonstration = Demonstration(folder)
        try:
            demonstration.read_until("ports below 1024")
            directory = re.search(r"It is open, in (\S+)\.\n", demonstration.said)[1]
            for said in (r"SMTP +port \d+: alice began TLS \(TLSv1.3\), logged in and sent a mail to bob@example.test",
                         r"POP3 +port \d+: bob began TLS, logged in and found it:\n\n(    \|.*\n)*    \| Subject: The post is here\n",
                         r'IMAP +port \d+: bob began TLS, logged in and found "The post is here" in INBOX', "password of both: posthorn",
                         r"outgoing +SMTP +localhost, port \d+", "What is missing are the users posthorn-"):
                check(re.search(said, demonstration.said), f"{said}: {demonstration.said}")
            every_program_is_confined(directory)
        finally:
            status = demonstration.end()
        equal(status, 0, f"status after Ctrl-C ({demonstration.said[-300:]})")
        equal(os.listdir(folder), [], "what is left in the folder for temporary files")


def every_program_is_confined(directory):
    master = int(pathlib.Path(directory, "pid").read_text(encoding="ascii").split()[0])
    uid = str(NOBODY.get("user", os.getuid()))
    for pid in e2e.session_members(master):
        facts = status_of(pid)
        equal(set(facts["Uid"].split()), {uid}, f"the users of process {pid}")
        if pid != master:
            equal((facts["Seccomp"], facts["NoNewPrivs"]), ("2", "1"), f"confinement of process {pid}")
    check(len(e2e.session_members(master)) > 8, "all programs run")
    listed = subprocess.run(["ls", os.path.join(directory, "data", "accounts")], capture_output=True, check=False, user=65533, group=65533,
                            extra_groups=[]) if os.getuid() == 0 else None
    check(listed is None or listed.returncode != 0, "another user can list the accounts")


def main():
    tests = [("without root: the line that installs what is missing", the_line_to_run), ("without root: a post office at work", a_post_office_without_root)]
    e2e.run([t for t in tests if not sys.argv[1:] or any(word in t[0] for word in sys.argv[1:])])


if __name__ == "__main__":
    main()
