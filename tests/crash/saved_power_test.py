#!/usr/bin/env python3
"""Loses power while saved_power works, and looks whether each mail that was saved is in its folder, with all of its lines.

  saved_power_test.py CASE LIBRARY NOSYNC SAVED_POWER

CASE "holds": no promise is broken at any point. "without-…": that kind of sync (nosync.c) is taken out, and a promise must be broken.
POSTHORN_CRASH_POINTS sets the number of points, POSTHORN_CRASH_SEED another run.
"""
import os, re, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import store_power_test as power

STEPS, POINTS = 120, 200
MAIL = re.compile(r"^Subject: (\d+) (\d+)\n\n((?:line \d+ of mail \d+\n)*)", re.MULTILINE)


def whole(folder):
    """The numbers of the mails of which all lines are there."""
    for place, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".posthorn-") or os.path.basename(place) == "tmp":
                continue
            with open(os.path.join(place, name), encoding="ascii", errors="replace", newline="") as file:
                for number, lines, body in MAIL.findall(file.read().replace("\r\n", "\n")):
                    if body == "".join(f"line {i} of mail {number}\n" for i in range(int(lines))):
                        yield int(number)


def broken(tree, marks):
    found = {name: set(whole(f"{tree}/mails/{name}")) for name in ("eml", "maildir", "mbox")}
    for _, name, number in map(str.split, marks):
        if int(number) not in found[name]:
            yield f"mail {number} is not in {name}"


def main(case, *files):
    kind = case.removeprefix("without-").removeprefix("holds")
    library, nosync, program = map(os.path.realpath, files)
    count = int(os.environ.get("POSTHORN_CRASH_POINTS", 0)) or POINTS
    seed = int(os.environ.get("POSTHORN_CRASH_SEED", 1))
    wrong = tried = 0
    with tempfile.TemporaryDirectory(prefix="crash-", dir=power.FOLDER) as folder:
        tree = folder + "/tree"
        os.makedirs(tree + "/mails")
        log = power.record(folder + "/run", kind, library, nosync, tree, program, "run", tree, "{marks}", str(STEPS))
        print(f"{case}: {len(log.operations)} operations, {len(log.marks)} promises")
        points = log.points_after(power.is_promise, count, seed) if kind else power.points(log, count, seed)
        for number, point in enumerate(points):
            point.build(folder + "/after")
            texts = list(broken(folder + "/after", point.marks))
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
