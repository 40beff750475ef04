#!/usr/bin/env python3
"""Lets system calls of store_power fail, one at a time, and looks whether what it had promised is there.

  store_fault_test.py CASE FAULTS STORE_POWER

Whatever fails, it must come to its end, or say that it stops; and a start on a good disk finds all that was promised.
POSTHORN_CRASH_POINTS sets at how many calls each kind of fault strikes.
"""
import errno, os, re, subprocess, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from faults import Faults
from store_power_test import FOLDER, check, make_tree

STEPS, SEED, STOPPED = 150, 1, 3
CALLS = "write,fsync,fdatasync,syncfs,open,rename,unlink,size,mkdir"


class Run:
    """One run in a tree of its own; texts says what is wrong after it."""

    def __init__(self, library, program, steps=STEPS, extra={}, **settings):
        with tempfile.TemporaryDirectory(prefix="fault-", dir=FOLDER) as folder:
            tree, marks = folder + "/tree", folder + "/marks"
            make_tree(tree)
            open(marks, "xb").close()
            faults = Faults(library, tree, folder + "/state")
            environment = {**faults.environment(except_=marks, **settings), **extra}
            result = subprocess.run([program, "run", tree, marks, str(steps), str(SEED)], env=environment,
                                    stderr=subprocess.PIPE, text=True)
            self.status, self.said = result.returncode, result.stderr
            self.calls, self.struck, self.used = faults.counts()
            with open(marks) as file:
                self.marks = file.read().splitlines()
            self.texts = check(program, tree, self.marks)
        if self.status not in (0, STOPPED):
            self.texts.append(f"ended with {self.status}: {self.said[-500:]}")


def strike(library, program, points, **settings):
    """A fault at `points` calls spread over a run; those runs that something was wrong with, and how many stopped."""
    total = Run(library, program, calls=CALLS, at=0).calls
    assert total > 1000, f"only {total} calls were counted"
    stopped = failed = 0
    wrong = []
    for i in range(points):
        at = 1 + i * (total - 1) // max(1, points - 1)
        run = Run(library, program, calls=CALLS, at=at, **settings)
        stopped += run.status == STOPPED
        failed += run.said != ""
        if run.texts:
            wrong.append(f"{settings}, call {at} of {total}:\n  " + "\n  ".join(run.texts[:5]) + f"\n  {run.said[-600:]}")
    print(f"{settings}: {points} calls, {failed} failures were told, {stopped} stopped")
    return wrong, failed


def case_errors(library, program, points):
    wrong, failed = [], 0
    once, thrice = {"times": 1}, {"times": 3}
    for number, settings, share in ((errno.EIO, once, 5), (errno.EIO, thrice, 5), (errno.ENOSPC, once, 5), (errno.ENOSPC, thrice, 5),
                                    (errno.EDQUOT, thrice, 20), (errno.EMFILE, thrice, 20), (errno.EINTR, once, 20)):
        bad, told = strike(library, program, points // share, mode="error", errno=number, **settings)
        wrong += bad
        failed += told
    assert failed, "no failure was noticed"
    return wrong


def case_dead_disk(library, program, points):
    return strike(library, program, points, mode="error", times=10**9)[0]


def case_kills(library, program, points):
    wrong = []
    total = Run(library, program, calls=CALLS, at=0).calls
    for i in range(points):
        run = Run(library, program, calls=CALLS, at=1 + i * (total - 1) // points, mode=("kill-before", "kill-after")[i % 2])
        wrong += [text for text in run.texts if not text.startswith("ended with -9")]
    return wrong


def case_full(library, program, points):
    """The disk fills up in the middle of the work."""
    whole, wrong = Run(library, program, calls=CALLS, at=0, free=1 << 40), []
    for i in range(points):
        free = 300000 + (whole.used - 300000) * i // points
        run = Run(library, program, free=free)
        assert run.struck, "the disk was not full"
        wrong += [f"{free} octets: {text}\n{run.said[-600:]}" for text in run.texts]
    return wrong


def case_sqlite_memory(library, program, points):
    """SQLite gets no memory, once or for some time."""
    wrong = []
    whole = Run(library, program, calls=CALLS, at=0, extra={"SQLITE_MALLOC": "0"})
    total = int(re.search(r"sqlite malloc: (\d+)", whole.said)[1])
    for i in range(points):
        at = 1 + i * (total - 1) // points
        run = Run(library, program, calls=CALLS, at=0, extra={"SQLITE_MALLOC": str(at)})
        wrong += [f"allocation {at} of {total}: {text}\n{run.said[-600:]}" for text in run.texts]
    return wrong


CASES = {"errors": (case_errors, 60), "dead-disk": (case_dead_disk, 15), "kills": (case_kills, 20), "full": (case_full, 10),
         "sqlite-memory": (case_sqlite_memory, 20)}

if __name__ == "__main__":
    run_case, count = CASES[sys.argv[1]]
    problems = run_case(*map(os.path.realpath, sys.argv[2:]), int(os.environ.get("POSTHORN_CRASH_POINTS", 0)) or count)
    print("\n".join(problems))
    sys.exit(1 if problems else 0)
