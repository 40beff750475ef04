#!/usr/bin/env python3
"""Loses power while store_power works, and looks whether what it had promised is there.

  store_power_test.py CASE LIBRARY NOSYNC STORE_POWER

CASE "holds": no promise is broken at any point. "twice": nor when power is lost again while it recovers. "without-…":
that kind of sync (nosync.c) is taken out, or the journal is trimmed too early ("without-trim-order"); then at some point
a promise must be broken. POSTHORN_CRASH_POINTS sets the number of points, POSTHORN_CRASH_SEED another run.
"""
import os, random, subprocess, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import powerlog
from power_promises import Promises

STEPS, COUNTS = 400, {"holds": 500, "twice": 100}  # points of those that must hold
# what is synced is only said to the simulator, so memory is as good as a disk, and faster
# a sanitizer's library stands behind those that are preloaded
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def check(program, tree, marks):
    """What is wrong with the tree, as texts."""
    result = subprocess.run([program, "check", tree], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        return [f"check ended with {result.returncode}: {result.stderr.strip() or result.stdout[-200:]}"]
    return list(Promises(marks).broken(result.stdout.splitlines()))


def make_tree(tree):
    for name in ("", "/spool", "/accounts"):
        os.mkdir(tree + name)


def record(folder, case, library, nosync, tree, *command):
    """The log of a command that ran in the tree, with one kind of sync taken out."""
    os.mkdir(folder)
    log = powerlog.create(tree, folder + "/log", folder + "/marks")
    environment = {**log.environment(library), "NOSYNC": case, "LD_PRELOAD": f"{nosync}:{library}"}
    if case == "trim-order":
        environment["TRIM_EARLY"] = "1"
    command = [word.format(marks=folder + "/marks") for word in command]
    subprocess.run(command, env=environment, check=True, stderr=subprocess.PIPE)
    log.load()
    log.verify()
    return log


def is_flush(o):
    return o.type == powerlog.SYNC_ALL


def is_promise(line):
    return not line.split()[0].endswith("ing")


def points(log, count, seed, case=""):
    """count points in ascending order, the same ones for the same seed."""
    chooser, state = random.Random(seed), powerlog.State(log)
    # what is trimmed too early is at stake for one moment after a flush
    spans = [(o.begin, o.begin + 1) for o in log.operations if is_flush(o)] if case == "trim-order" else [(1, log.end)]
    for number, k in enumerate(sorted(chooser.randint(*chooser.choice(spans)) for _ in range(count))):
        state.advance(k)
        piece = powerlog.PAGE if number % 2 else 512
        yield powerlog.Point(log, state, k, random.Random(seed * 1000003 + number), piece)


def once(folder, log, program, count, seed, case, *_):
    """Points at which power is lost while it works: a name, and what is wrong."""
    without_sync = case not in COUNTS and case != "trim-order"
    chosen = log.points_after(is_promise, count, seed) if without_sync else points(log, count, seed, case)
    for number, point in enumerate(chosen):
        point.build(folder + "/after")
        yield f"{number} at {point.k}", check(program, folder + "/after", point.marks)


def twice(folder, log, program, count, seed, _, library, nosync):
    for number, first in enumerate(points(log, max(1, count // 10), seed)):
        with tempfile.TemporaryDirectory(dir=folder) as again:
            first.build(again + "/tree")
            try:
                recovery = record(again + "/r", "", library, nosync, again + "/tree", program, "recover", again + "/tree")
            except subprocess.CalledProcessError as error:
                yield f"{number} at {first.k}", [error.stderr.decode()]
                continue
            for second in points(recovery, 10, seed + number):
                second.build(folder + "/after")
                yield f"{number} at {first.k}, {second.k}", check(program, folder + "/after", first.marks)


def main(case, *files):
    case = case.removeprefix("without-")
    library, nosync, program = map(os.path.realpath, files)
    count = int(os.environ.get("POSTHORN_CRASH_POINTS", 0)) or COUNTS.get(case, 300)
    seed = int(os.environ.get("POSTHORN_CRASH_SEED", 1))
    broken = tried = 0
    with tempfile.TemporaryDirectory(prefix="crash-", dir=FOLDER) as folder:
        tree = folder + "/tree"
        make_tree(tree)
        log = record(folder + "/run", case, library, nosync, tree, program, "run", tree, "{marks}", str(STEPS), str(seed))
        print(f"{case}: {len(log.operations)} operations, {len(log.marks)} promises")
        for name, texts in (twice if case == "twice" else once)(folder, log, program, count, seed, case, library,
                                                                          nosync):
            tried += 1
            broken += bool(texts)
            for text in texts[:5]:
                print(f"point {name}: {text}")
            if broken == 5 or broken and case not in COUNTS:
                break
    print(f"{case}: {tried} points, {broken} with a broken promise")
    return 0 if tried and bool(broken) != (case in COUNTS) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
