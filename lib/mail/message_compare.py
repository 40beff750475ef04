#!/usr/bin/env python3
"""Compares the parts that message_tree finds in sample mails with those that Python's email package finds.

usage: message_compare.py MESSAGE_TREE SOURCE_ROOT; exit status 77 (skipped) without samples.
Compared are the folders of mail as it is; those of made-up broken mail have no right answer.
"""
import email
import os
import subprocess
import sys

FOLDERS = ("notmuch", "cyrus", "sa-spam-1", "sa-easy-ham-1")
EVERY = 3  # of the files of a folder


def types_of(part):
    """As message_tree prints them. A multipart without parts is text/plain there; Python looks into every message/*,
    we only where IMAP does."""
    children = part.get_payload() if part.is_multipart() else []
    kind = part.get_content_type()
    if kind.startswith("multipart/") and not children:
        kind = "text/plain"
    if kind.startswith("message/") and kind not in ("message/rfc822", "message/global"):
        children = []
    types = [kind]
    for child in children:
        types += types_of(child)
    return types


def main():
    tree, source = sys.argv[1:3]
    shared = os.environ.get("POSTHORN_SHARED", os.path.join(source, "..", "shared"))
    paths = []
    for folder in FOLDERS:
        for root, _, names in sorted(os.walk(os.path.join(shared, "mail-samples", folder))):
            paths += [os.path.join(root, name) for name in sorted(names)][::EVERY]
    if not paths:
        print("skipped: no sample mails below", shared)
        return 77
    lines = subprocess.run([tree] + paths, check=True, stdout=subprocess.PIPE).stdout.decode("latin-1").splitlines()
    assert len(lines) == len(paths)
    wrong = 0
    for path, line in zip(paths, lines):
        with open(path, "rb") as file:
            expected = types_of(email.message_from_binary_file(file))
        if line.lower().split() != expected:
            wrong += 1
            print(path, "\n  expected", *expected, "\n  found   ", line)
    print(len(paths), "compared,", wrong, "differ")
    return 1 if wrong else 0


sys.exit(main())
