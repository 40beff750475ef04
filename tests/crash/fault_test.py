#!/usr/bin/env python3
"""Proves faults.so on programs whose right answer is known.

  fault_test.py CASE LIBRARY

POSTHORN_CRASH_POINTS sets at how many calls each kind of fault strikes.
"""
import errno, os, signal, sqlite3, subprocess, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import model_test
from faults import Faults

SELF = os.path.realpath(__file__)
ALL = "write,fsync,fdatasync,open,unlink,size"


class Run:
    """One program in a new tree under faults."""

    def __init__(self, library, program, **settings):
        self.folder = tempfile.TemporaryDirectory(prefix="fault-")
        self.tree, self.marks_path = self.folder.name + "/tree", self.folder.name + "/marks"
        os.mkdir(self.tree)
        open(self.marks_path, "xb").close()
        faults = Faults(library, self.tree, self.folder.name + "/state")
        environment = {**faults.environment(except_=self.marks_path, **settings), "MARKS": self.marks_path}
        self.status = subprocess.run([sys.executable, SELF, "--program", program], cwd=self.tree, env=environment,
                                     stderr=subprocess.DEVNULL).returncode
        self.calls, self.struck, self.used = faults.counts()

    @property
    def marks(self):
        with open(self.marks_path) as f:
            return f.read().split()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()


def sqlite_program():
    model_test.sqlite_program("FULL", 80)


def fill_program():
    """Writes until the disk is full, then shows that removing makes room again."""
    fd = os.open("big", os.O_WRONLY | os.O_CREAT, 0o600)
    written = 0
    try:
        while written < 200000:
            written += os.write(fd, b"x" * 3000)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    model_test.mark(written)
    other = os.open("other", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(other, 0, 5000)
    except OSError as error:
        model_test.mark(error.errno)
    os.pwrite(fd, b"y" * 3000, 0)  # no growth, no failure
    os.ftruncate(fd, 40000)
    os.posix_fallocate(other, 0, 5000)
    os.unlink("big")
    os.write(other, b"z" * 90000)
    model_test.mark(os.stat("other").st_size)


def memory_program():
    import ctypes
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    model_test.mark(sum(libc.malloc(10) is None for _ in range(20000)))


def check_promises(run):
    """All that was said to be certain is in the real tree (no power was lost)."""
    class Point:
        marks = run.marks
    model_test.check_sqlite(True)(run.tree, Point)


def strike(library, points, **settings):
    """The sqlite program with a fault at `points` calls spread over its life; the runs' statuses."""
    with Run(library, "sqlite", calls=ALL, at=0) as whole:
        assert whole.status == 0 and whole.struck == 0 and whole.calls > 500, "counting"
        total = whole.calls
    statuses = []
    for i in range(points):
        with Run(library, "sqlite", calls=ALL, at=1 + i * (total - 1) // max(1, points - 1), **settings) as run:
            assert run.struck >= 1, f"call {i} was not struck"
            check_promises(run)
            statuses.append(run.status)
    return statuses


def case_errors(library, points):
    for number in (errno.EIO, errno.ENOSPC):
        statuses = strike(library, points, mode="error", errno=number)
        assert any(statuses), "no error was noticed"


def case_dead_disk(library, points):
    assert all(strike(library, points, mode="error", times=10**9)[:-2]), "a program went on without a disk"


def case_kills(library, points):
    for mode in ("kill-before", "kill-after"):
        statuses = strike(library, points, mode=mode)
        assert set(statuses) == {-signal.SIGKILL}, statuses


def case_full(library, _):
    with Run(library, "fill", free=100000) as run:
        assert run.status == 0 and run.marks == ["100000", str(errno.ENOSPC), "90000"], (run.status, run.marks)
        assert run.used == 90000 and run.struck == 2 + 1, (run.used, run.struck)
    for free in (20000, 50000, 100000):
        with Run(library, "sqlite", free=free) as run:
            assert run.struck and run.status, "no full disk was noticed"
            check_promises(run)


def case_memory(library, _):
    with Run(library, "memory", calls="malloc", at=0) as whole:
        assert whole.status == 0 and whole.marks == ["0"]
        middle = whole.calls - 10000
    with Run(library, "memory", calls="malloc", at=middle, times=5, mode="error") as run:
        assert run.struck == 5 and (run.marks == ["5"] or run.status), (run.struck, run.marks, run.status)


CASES = {"errors": (case_errors, 6), "dead-disk": (case_dead_disk, 6), "kills": (case_kills, 6),
         "full": (case_full, 0), "memory": (case_memory, 0)}

if __name__ == "__main__":
    if sys.argv[1] == "--program":
        globals()[sys.argv[2] + "_program"]()
    else:
        run_case, count = CASES[sys.argv[1]]
        run_case(os.path.realpath(sys.argv[2]), int(os.environ.get("POSTHORN_CRASH_POINTS", 0)) or count)
