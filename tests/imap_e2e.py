#!/usr/bin/env python3
"""Runs the transcripts of tests/imap against one instance, several at a time: tests/imap_e2e.py [NAME…]"""
import concurrent.futures
import glob
import os
import re
import sys

import e2e
import imap_arguments
import imap_transcript

AT_ONCE = 8
# How much room an account has is for the administrator to say.
NEVER_RIGHT = ("SETQUOTA",)


def run_all(paths, instance):
    """name → None or what went wrong; all of them, several at a time."""
    def one(path):
        try:
            imap_transcript.Transcript(instance, path).run()
            return None
        except (AssertionError, e2e.Skipped) as failure:
            return failure
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(paths, pool.map(one, paths)))


def commands_are_covered():
    with open(os.path.join(e2e.ROOT, "lib/imap/imap_command.c"), encoding="utf-8") as source:
        names = set(re.findall(r'= \{ "([A-Z]+)",', source.read()))
    e2e.check(len(names) > 40, f"the table has only {names}")
    e2e.equal(sorted(names - set(imap_arguments.COMMANDS)), [], "commands that are not tried with wrong arguments")
    seen = {outcome for path in glob.glob(os.path.join(imap_transcript.FOLDER, "*.txt")) for outcome in imap_transcript.outcomes(path)}
    e2e.equal(sorted(names - {name for name, answer in seen if answer == "OK"} - set(NEVER_RIGHT)), [],
              "commands of which no transcript shows a success")
    e2e.equal(sorted(names - {name for name, answer in seen if answer in ("NO", "BAD")}), [],
              "commands of which no transcript shows a refusal")


def sources():
    """Of the parser and those who use it, without their tests."""
    for folder in ("lib/imap", "daemons/mailbox/imap", "daemons/porter"):
        for path in glob.glob(os.path.join(e2e.ROOT, folder, "imap*.c")):
            if not re.search(r"_(test|fuzz)\.c$", path):
                with open(path, encoding="utf-8") as source:
                    yield os.path.basename(path), source.read()


def phrases_are_translated():
    """RFC 5255 §3: what the parser says it expected is in imap_expected.c; names of the protocol are in capitals."""
    texts = dict(sources())
    helpers = {found for text in texts.values() for found in re.findall(r"(\w+)\([^)]*const char \*expected", text)}
    call = re.compile(r"\b(?:imap_parse_fail|%s)\((?:[^\"();]|\([^()]*\))*\"([^\"]+)\"" % "|".join(helpers))
    said = {phrase for text in texts.values() for phrase in call.findall(text)}
    said |= set(re.findall(r"\['.'\] = \"([^\"]+)\"", texts["imap_parse.c"]))
    known = re.findall(r'^\t\{ "([^"]+)"', texts["imap_expected.c"], re.MULTILINE)
    e2e.check(len(said) > 80, f"only {len(said)} phrases were found")
    e2e.equal(sorted(one for one in said - set(known) if one.upper() != one), [], "phrases without Italian and Slovak")
    e2e.equal(known, sorted(known), "the order of imap_expected.c")


def arguments(instance):
    """None, or what went wrong."""
    try:
        imap_arguments.run(instance)
        return None
    except AssertionError as failure:
        return failure


def raising(failure):
    def test():
        if failure is not None:
            raise failure
    return test


def main():
    named = [os.path.join(imap_transcript.FOLDER, name.removesuffix(".txt") + ".txt") for name in sys.argv[1:]]
    paths = named or sorted(glob.glob(os.path.join(imap_transcript.FOLDER, "*.txt")))
    groups = {}
    for path in paths:
        groups.setdefault(imap_transcript.settings_of(path), []).append(path)
    tests = []
    for settings, group in sorted(groups.items()):
        users = sum(imap_transcript.users_of(path) for path in group) + 1
        options = [word for setting in settings for word in ("--set", setting)]
        results = {}
        try:
            with e2e.Instance(*options, accounts=(f"user%d:{users + 1}",)) as instance:
                results = run_all(group, instance)
                if not settings and not named:
                    tests.append(("every command in every state, and with wrong arguments", raising(arguments(instance))))
        except AssertionError as failure:
            tests.append((f"an instance with {' '.join(settings) or 'the usual settings'}", raising(failure)))
        tests += [(os.path.relpath(path, os.path.join(e2e.ROOT, "tests")), raising(result)) for path, result in results.items()]
    if not named:
        tests.append(("every command of IMAP has transcripts", commands_are_covered))
        tests.append(("what the parser expects is said in every language", phrases_are_translated))
    e2e.run(tests)


main()
