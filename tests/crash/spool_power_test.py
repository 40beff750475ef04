#!/usr/bin/env python3
"""Loses power while spool_power works, and looks whether what it had promised is there.

  spool_power_test.py CASE LIBRARY NOSYNC SPOOL_POWER

CASE "holds": no promise is broken at any point. "without-…": that kind of sync (nosync.c) is taken out, and a promise must be broken.
POSTHORN_CRASH_POINTS sets the number of points, POSTHORN_CRASH_SEED another run.
"""
import os, subprocess, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import store_power_test as power

STEPS, POINTS = 400, 200
RECIPIENTS = 3


def broken(marks, found):
    """found: lines of spool_power check."""
    messages = {int(words[1]): words for words in map(str.split, found)}
    logged, logging, removing = {}, {}, set()
    for verb, number, *rest in map(str.split, marks):
        if verb == "created":
            logged[int(number)], logging[int(number)] = [0] * RECIPIENTS, [0] * RECIPIENTS
        elif verb == "removing":
            removing.add(int(number))
        else:
            recipient, attempts = map(int, rest)
            (logged if verb == "logged" else logging)[int(number)][recipient] = attempts
    for number, least in logged.items():
        words = messages.get(number)
        if words is None:
            if number not in removing:
                yield f"message {number} is lost"
        elif number in removing and words[-1] != "done":
            yield f"message {number} is to be sent again"
        else:
            for recipient, attempts in enumerate(map(int, words[2:2 + RECIPIENTS])):
                if not least[recipient] <= attempts <= logging[number][recipient]:
                    yield f"message {number} has {attempts} attempts for {recipient}, not {least[recipient]}"


def check(program, tree, marks):
    result = subprocess.run([program, "check", tree], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        return [f"check ended with {result.returncode}: {result.stderr.strip() or result.stdout[-200:]}"]
    return list(broken(marks, result.stdout.splitlines()))


def main(case, *files):
    kind = case.removeprefix("without-").removeprefix("holds")
    library, nosync, program = map(os.path.realpath, files)
    count = int(os.environ.get("POSTHORN_CRASH_POINTS", 0)) or POINTS
    seed = int(os.environ.get("POSTHORN_CRASH_SEED", 1))
    wrong = tried = 0
    with tempfile.TemporaryDirectory(prefix="crash-", dir=power.FOLDER) as folder:
        tree = folder + "/tree"
        power.make_tree(tree)
        log = power.record(folder + "/run", kind, library, nosync, tree, program, "run", tree, "{marks}", str(STEPS), str(seed))
        print(f"{case}: {len(log.operations)} operations, {len(log.marks)} promises")
        points = log.points_after(power.is_promise, count, seed) if kind else power.points(log, count, seed)
        for number, point in enumerate(points):
            point.build(folder + "/after")
            texts = check(program, folder + "/after", point.marks)
            tried += 1
            wrong += bool(texts)
            for text in texts[:5]:
                print(f"point {number} at {point.k}: {text}")
            if wrong == 5 or wrong and kind:
                break
    print(f"{case}: {tried} points, {wrong} with a broken promise")
    return 0 if tried and bool(wrong) == bool(kind) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
