#!/usr/bin/env python3
"""A full disk: no new mail is taken, nothing is lost, and mail can still be removed.

The accounts lie on a small file system in memory; without the right to mount one the tests are skipped.
"""
import errno
import imaplib
import os
import shutil
import subprocess

import e2e
from e2e import equal

SIZE = 64 << 20


class SmallDisk:
    """A file system for DIR/data/accounts."""

    def __init__(self, directory):
        self.directory = directory
        self.accounts = os.path.join(directory, "data", "accounts")
        os.makedirs(self.accounts)
        os.chmod(os.path.join(directory, "data"), 0o755)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", self.accounts], capture_output=True, text=True, check=False)
        self.why_not = mounted.stderr.strip() if mounted.returncode else None

    def close(self):
        if not self.why_not:
            subprocess.run(["umount", "--lazy", self.accounts], check=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def has_ballast(self):
        return os.path.exists(os.path.join(self.accounts, "ballast"))

    def filler(self):
        return os.path.join(self.accounts, "filler")

    def fill(self):
        with open(self.filler(), "ab", buffering=0) as file:
            for piece in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * piece)
                except OSError as why:
                    equal(why.errno, errno.ENOSPC, "why no more fits")


class Tests:
    def __init__(self, instance, disk):
        self.instance = instance
        self.disk = disk

    def removing_works(self):
        if self.disk.why_not:
            e2e.skip(f"no small file system: {self.disk.why_not}")
        user, other = self.instance.fresh_user(), self.instance.fresh_user()
        with self.instance.smtp() as client:
            for number in range(4):
                reply = client.transact("sender@elsewhere.test", [user, other], b"Subject: %d\r\n\r\n" % number + b"x" * 900 + b"\r\n")
                self.instance.wait_delivered(reply, 2)
        e2e.until(self.disk.has_ballast, "the ballast is made")
        with imaplib.IMAP4("127.0.0.1", self.instance.port("imap")) as client:
            client.login(user, e2e.PASSWORD)
            client.select()
            self.disk.fill()
            e2e.until(lambda: not self.disk.has_ballast(), "the ballast goes")
            e2e.until(lambda: "disk-full" in self.instance.log(), "the log tells of it")
            equal(client.append("INBOX", None, None, b"Subject: x\r\n\r\n" + b"y" * 1000)[0], "NO", "APPEND on a full disk")
            equal(client.store("1:2", "+FLAGS", "\\Deleted")[0], "OK", "STORE")
            equal(client.expunge(), ("OK", [b"1", b"1"]), "EXPUNGE")
            equal(client.search(None, "ALL")[1], [b"1 2"], "what is left")
        with self.instance.pop3(other) as client:
            client.ok("DELE 1")
            client.ok("QUIT")
        os.unlink(self.disk.filler())
        e2e.until(self.disk.has_ballast, "the ballast comes back")
        equal(sorted(len(self.instance.mails(u)) for u in (user, other)), [2, 3], "mails that are left")
        with self.instance.smtp() as client:
            reply = client.transact("sender@elsewhere.test", [user], b"Subject: again\r\n\r\n")
            self.instance.wait_delivered(reply)


def main():
    instance = e2e.Instance("--set", "spool_headroom=0")
    disk = SmallDisk(instance.directory)
    try:
        with instance:
            tests = Tests(instance, disk)
            e2e.run([("mail can be removed on a full disk", tests.removing_works)])
    finally:
        disk.close()


if __name__ == "__main__":
    main()
