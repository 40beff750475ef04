#!/usr/bin/env python3
"""Proves the power-loss simulator on small programs whose right answer is known.

  model_test.py CASE LIBRARY [JOURNAL_TOY]

A case is a program, the check of what it promised, and whether the promise must hold at every
point or must be seen broken. POSTHORN_CRASH_POINTS sets the number of points (default: the case's),
POSTHORN_CRASH_SEED another seed.
"""
import os, sqlite3, struct, subprocess, sys, tempfile, zlib

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import powerlog
from powerlog import mark

SELF = os.path.realpath(__file__)


# ---- programs; they run under powerloss.so in the tree, and say on the marks file what is certain

def write_file(name, data, sync=True):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(fd, data)
    if sync:
        os.fsync(fd)
    os.close(fd)


def sync_directory(name):
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


def version(number):
    return f"version {number} ".encode() * 1000


def rename_program(sync_file, sync_folder):
    """Replaces a file again and again, the classic way."""
    for number in range(1, 60):
        write_file("new", version(number), sync_file)
        os.rename("new", "current")
        if sync_folder:
            sync_directory(".")
        mark(number)


def create_program(sync_folder):
    """A directory per message with the message in it."""
    for number in range(1, 30):
        os.mkdir(f"d{number}")
        write_file(f"d{number}/mail", version(number))
        if sync_folder:
            sync_directory(f"d{number}")
            sync_directory(".")
        mark(number)


def syncfs_program():
    import ctypes
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    for number in range(1, 60):
        write_file(f"mail{number}", version(number), sync=False)
        if number % 10 == 0:
            if ctypes.CDLL(None).syncfs(here) != 0:
                raise OSError("syncfs")
            mark(number)


def sqlite_program(synchronous, commits=300):
    db = sqlite3.connect("db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA wal_autocheckpoint=20")
    db.execute("CREATE TABLE t(n INTEGER PRIMARY KEY, text TEXT)")
    db.execute("CREATE INDEX i ON t(text)")
    mark(0)
    db.execute(f"PRAGMA synchronous={synchronous}")
    for number in range(1, commits):
        db.execute("BEGIN")
        db.execute("INSERT INTO t VALUES(?, ?)", (number, f"{number * 7919 % 1000:04d}" * 50))
        db.execute("UPDATE t SET text = ? WHERE n = ?", ("changed" * number, number // 2))
        db.execute("COMMIT")
        mark(number)


def processes_program():
    """Several processes at once, each replacing its own file."""
    children = []
    for child in range(4):
        os.mkdir(f"c{child}")
    sync_directory(".")
    for child in range(4):
        pid = os.fork()
        if pid == 0:
            os.chdir(f"c{child}")
            for number in range(1, 40):
                write_file("new", version(number))
                os.rename("new", "current")
                sync_directory(".")
                mark(child * 1000 + number)
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)


def calls_program():
    """Each call that the library follows, once or more, with all of it synced at the end."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    write_file("a", version(1))
    os.link("a", "hard")
    os.symlink("a", "soft")
    os.mkdir("d1")
    os.mkdir("d2")
    os.rename("d1", "d3")
    write_file("d3/b", version(2))
    os.rename("d3/b", "d2/b")
    write_file("x", b"x")
    write_file("y", b"y")
    if libc.renameat2(-100, b"x", -100, b"y", 2) != 0:
        raise OSError("renameat2")
    os.rmdir("d3")
    write_file("gone", b"gone")
    os.unlink("gone")
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
    os.writev(fd, [b"no", b"name"])
    if libc.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, b"named", 0x400) != 0:
        raise OSError("linkat")
    os.close(fd)
    fd, source = os.open("many", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), os.open("a", os.O_RDONLY)
    os.pwrite(fd, b"1" * 10000, 0)
    os.pwritev(fd, [b"2" * 10, b"3" * 5000], 6000)
    os.pwritev(fd, [b"4"], 12000, os.RWF_DSYNC)
    os.lseek(fd, 20000, os.SEEK_SET)
    os.sendfile(fd, source, 5, 3000)
    os.copy_file_range(source, fd, 4000, 100, 30000)
    os.posix_fallocate(fd, 40000, 20000)
    if libc.fallocate(fd, 3, ctypes.c_long(3000), ctypes.c_long(5000)) != 0:
        raise OSError("fallocate")
    os.ftruncate(fd, 50000)
    os.truncate("y", 100)
    os.close(os.open("x", os.O_WRONLY | os.O_TRUNC))
    os.write(fd, b"5" * 100)
    os.sync()
    mark(1)
    os.pwrite(fd, b"after" * 1000, 1000)
    os.unlink("named")
    os.rename("hard", "harder")


def unseen_program():
    """Writes by stdio of C, which the library cannot see."""
    import ctypes
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.fopen(b"unseen", b"w"))
    libc.fputs(b"text", stream)
    libc.fclose(stream)
    mark(1)


def mapping_program():
    """Writes through a mapping, which the library sees made but cannot follow."""
    import mmap
    write_file("mapped", version(1))
    fd = os.open("mapped", os.O_RDWR)
    mmap.mmap(fd, 0)[:3] = b"new"
    mark(1)


# ---- checks: the promises, on the tree as a failure left it; an AssertionError is a broken promise

def last_mark(point):
    return max((int(line) for line in point.marks), default=-1)


def check_journal(tree, point):
    with open(tree + "/journal", "rb") as f:
        data = f.read()
    at, found = 0, 0
    while at + 12 <= len(data):
        number, length, crc = struct.unpack_from("<III", data, at)
        payload = data[at + 12:at + 12 + length]
        if number != found + 1 or len(payload) != length or zlib.crc32(payload, zlib.crc32(data[at:at + 4])) != crc:
            break
        found, at = number, at + 12 + length
    assert found >= last_mark(point), f"record {last_mark(point)} was promised, only {found} are there"


def check_rename(tree, point):
    if last_mark(point) < 1:
        return
    with open(tree + "/current", "rb") as f:
        content = f.read()
    assert content[:8] == b"version ", "the file is empty or torn"
    number = int(content.split()[1])
    assert content == version(number), "the file is torn"
    assert number >= last_mark(point), f"version {last_mark(point)} was promised, {number} is there"


def check_files(pattern):
    def check(tree, point):
        for number in range(1, last_mark(point) + 1):
            path = os.path.join(tree, pattern.format(number))
            assert os.path.exists(path), f"{path} was promised"
            with open(path, "rb") as f:
                assert f.read() == version(number), f"{path} is torn"
    return check


def check_processes(tree, point):
    for child in range(4):
        promised = max((int(m) % 1000 for m in point.marks if int(m) // 1000 == child), default=0)
        if promised:
            with open(f"{tree}/c{child}/current", "rb") as f:
                content = f.read()
            assert content in (version(promised), version(promised + 1)), f"process {child}: {content[:20]}"


def check_calls(tree, point):
    if not point.marks:
        return
    names = {path for path, _ in powerlog.scan(tree)} - {"named", "hard", "harder"}
    assert names == {"", "a", "soft", "d2", "d2/b", "x", "y", "many"}, names
    assert os.path.exists(tree + "/hard") != os.path.exists(tree + "/harder"), "a rename is one step"
    assert os.readlink(tree + "/soft") == "a"
    contents = {}
    for name in ("a", "d2/b", "x", "y", "many"):
        with open(os.path.join(tree, name), "rb") as f:
            contents[name] = f.read()
    many = contents.pop("many")
    assert contents == {"a": version(1), "d2/b": version(2), "x": b"", "y": b"x".ljust(100, b"\0")}
    assert len(many) == 50000 and many[6000:8000] == bytes(2000) and many[8000:11010] == b"3" * 3010, "many"
    assert many[12000:12001] == b"4" and many[20000:23000] == version(1)[5:3005], "many"
    assert many[30000:30100] == version(1)[4000:4100] and many[23000:23100] == b"5" * 100, "many"


def check_sqlite(all_commits):
    def check(tree, point):
        promised = last_mark(point)
        if promised < 0:
            return
        db = sqlite3.connect(tree + "/db")
        try:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "corrupt"
            numbers = [n for n, in db.execute("SELECT n FROM t ORDER BY n")]
            db.execute("SELECT count(*) FROM t WHERE text >= '0'").fetchone()
        except sqlite3.DatabaseError as error:
            raise AssertionError(f"corrupt: {error}")
        finally:
            db.close()
        assert numbers == list(range(1, len(numbers) + 1)), "a hole in the commits"
        assert not all_commits or len(numbers) >= promised, f"{promised} was promised, {len(numbers)} are there"
    return check


HOLDS, BREAKS = True, False
CASES = {  # program, check (a text: the log must be refused with it), whether the promise holds, points
    "journal": ("toy", check_journal, HOLDS, 500),
    "journal-dsync": ("toy --dsync", check_journal, HOLDS, 200),
    "journal-without-sync": ("toy --no-sync", check_journal, BREAKS, 100),
    "rename": (lambda: rename_program(True, True), check_rename, HOLDS, 300),
    "rename-without-directory-sync": (lambda: rename_program(True, False), check_rename, BREAKS, 100),
    "rename-without-file-sync": (lambda: rename_program(False, True), check_rename, BREAKS, 100),
    "create": (lambda: create_program(True), check_files("d{}/mail"), HOLDS, 200),
    "create-without-directory-sync": (lambda: create_program(False), check_files("d{}/mail"), BREAKS, 100),
    "syncfs": (syncfs_program, check_files("mail{}"), HOLDS, 200),
    "processes": (processes_program, check_processes, HOLDS, 200),
    "calls": (calls_program, check_calls, HOLDS, 200),
    "sqlite-full": (lambda: sqlite_program("FULL"), check_sqlite(True), HOLDS, 200),
    "sqlite-normal": (lambda: sqlite_program("NORMAL"), check_sqlite(False), HOLDS, 200),
    "sqlite-normal-all-commits": (lambda: sqlite_program("NORMAL"), check_sqlite(True), BREAKS, 100),
    "sqlite-off": (lambda: sqlite_program("OFF"), check_sqlite(False), BREAKS, 200),
    "unseen-write": (unseen_program, "unseen is not explained by the log", BREAKS, 0),
    "shared-mapping": (mapping_program, "a shared writable mapping of [b'mapped'] cannot be followed", BREAKS, 0),
}


def run_program(case, folder, library, toy):
    tree, marks, program = folder + "/tree", folder + "/marks", CASES[case][0]
    os.mkdir(tree)
    if isinstance(program, str):
        open(tree + "/journal", "xb").close()
    log = powerlog.create(tree, folder + "/log", marks)
    command = [toy, "journal", marks, "200"] + program.split()[1:] if isinstance(program, str) \
        else [sys.executable, SELF, "--program", case]
    subprocess.run(command, cwd=tree, env=log.environment(library), check=True)
    log.load()
    log.verify()
    return log


def main(case, library, toy=None):
    _, check, holds, count = CASES[case]
    count = int(os.environ.get("POSTHORN_CRASH_POINTS", 0)) or count
    seed = int(os.environ.get("POSTHORN_CRASH_SEED", 1))
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        try:
            log = run_program(case, folder, os.path.realpath(library), toy and os.path.realpath(toy))
        except ValueError as error:
            print(f"{case}: {error}")
            return 0 if str(error) == check else 1
        broken = []
        for number, point in enumerate(log.points(count, seed, powerlog.PAGE if seed % 2 else 512)):
            point.build(folder + "/after")
            try:
                check(folder + "/after", point)
            except (AssertionError, OSError) as error:
                broken.append(f"point {number} at {point.k}: {error}")
    print(f"{case}: {len(log.operations)} operations, {count} points, {len(broken)} with a broken promise")
    print("\n".join(broken[:5]))
    return 0 if bool(broken) != holds else 1


if __name__ == "__main__":
    if sys.argv[1] == "--program":
        CASES[sys.argv[2]][0]()
    else:
        sys.exit(main(*sys.argv[1:]))
