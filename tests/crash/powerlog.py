"""The power-loss simulator: makes an operation log (oplog.h), reads it, and builds the directory
tree as a power failure at any moment could leave it.

What is certain after a failure at clock value k is what a sync that had returned by then covers;
a sync covers what was done before it began:
  - fsync, fdatasync of a file: its data and size, not its name;
  - fsync of a directory: the names in it (of a rename out of it also the new name elsewhere:
    a rename never loses a file; of a rename into it only the new name);
  - syncfs, sync: everything; an O_DSYNC or RWF_DSYNC write: itself. sync_file_range: nothing.
Everything else may have happened or not:
  - data: each piece (4 KB page or 512 B sector) of a file shows the state after any number of its
    pending writes, independently of the other pieces;
  - size: that after any number of the pending operations; a truncation holds for all pieces;
  - names: each pending operation by itself is kept or dropped, except that of those which touch
    one name a later one is kept only if the earlier one is.

    log = create(tree, path, marks)            # before the program runs with log.environment()
    log.load(); log.verify()                   # afterwards: the log explains the tree
    for point in log.points(500, seed=1): point.build(directory); point.marks …

By hand; the tree as it was at first is kept in LOG.initial:

    powerlog.py create TREE LOG MARKS
    powerlog.py verify LOG
    powerlog.py show LOG                       one line per operation, with its clock values
    powerlog.py build LOG K SEED DIRECTORY     the tree as a failure at clock value K may leave it
"""
import bisect, mmap, os, pickle, random, shutil, struct, sys

MAGIC, RECORD, FAILED = 0x31474F4C52574F50, 0xD7A61C0F9BE35842, 2**64 - 1
TYPES = "WRITE TRUNCATE ALLOCATE SYNC SYNC_ALL CREATE LINK UNLINK RENAME MAP MARK".split()
WRITE, TRUNCATE, ALLOCATE, SYNC, SYNC_ALL, CREATE, LINK, UNLINK, RENAME, MAP, MARK = range(1, len(TYPES) + 1)
FILE, DIRECTORY, SYMLINK = range(3)
DURABLE, EXCHANGE, KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 1, 2, 16
HEADER_SIZE, SLOTS, ALIGN, NEVER = 4096, 1 << 20, 16, 2**64 - 2
HEADER = struct.Struct("<7Q")
ENTRY = struct.Struct("<QIHHQQQQQQHHI")
PAGE = 4096


def mark(line):
    """For a program under powerloss.so: says on the marks file what is certain now."""
    fd = os.open(os.environ["MARKS"], os.O_WRONLY | os.O_APPEND)
    os.write(fd, f"{line}\n".encode())
    os.close(fd)


def reopen(path):
    """The log at path, after its program has ended."""
    with open(path + ".initial", "rb") as f:
        tree, marks, initial = pickle.load(f)
    log = Log(tree, path, marks)
    log.initial = initial
    log.load()
    return log


class Operation:
    __slots__ = ("type", "flags", "begin", "done", "inode", "inode2", "offset", "length", "name", "name2", "data")

    def __repr__(self):
        names = " ".join(os.fsdecode(n) for n in (self.name, self.name2) if n)
        return (f"{self.begin}-{self.done if self.done < NEVER else 'never'} {TYPES[self.type - 1]} inode {self.inode} "
                f"{self.inode2 or ''} {names} {self.offset}+{self.length} flags {self.flags}")


class Node:
    """A file or directory: its certain state, and what is pending on it in order."""

    def __init__(self, inode, kind, target=b""):
        self.inode, self.kind, self.target = inode, kind, target
        self.content, self.names, self.pending = bytearray(), {}, []
        self.mapped = False


class Change:
    """A pending change of one name; node None takes the name away. Changes of one operation
    share a keep decision; `also` is the half that must be certain before this one."""

    __slots__ = ("operation", "directory", "name", "node", "also")

    def __init__(self, operation, directory, name, node, also=None):
        self.operation, self.directory, self.name, self.node, self.also = operation, directory, name, node, also


def scan(tree):
    """Paths below tree, parents first, the tree itself as ''."""
    yield "", os.stat(tree)
    for folder, folders, files in os.walk(tree):
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            yield os.path.relpath(path, tree), os.lstat(path)


def kind_of(status):
    return {0o040000: DIRECTORY, 0o120000: SYMLINK}.get(status.st_mode & 0o170000, FILE)


def create(tree, path, marks, size=1 << 32):
    """A new log at path for the tree as it is now (certain in full); lines written to marks are marks."""
    log = Log(tree, path, marks)
    log.remember()
    with open(path + ".initial", "wb") as f:
        pickle.dump((log.tree, log.marks_path, log.initial), f)
    with open(path, "w+b") as f:
        os.fchmod(f.fileno(), 0o666)
        f.truncate(size)
        start = HEADER_SIZE + 8 * SLOTS
        table = mmap.mmap(f.fileno(), start)
        table[:HEADER.size] = HEADER.pack(MAGIC, size, os.stat(tree).st_dev, SLOTS, os.stat(marks).st_ino, start, 1)
        slots = memoryview(table)[HEADER_SIZE:].cast("Q")
        for inode in log.initial_inodes:
            slot = (inode * 0x9E3779B97F4A7C15 % 2**64) >> 20
            while slots[slot % SLOTS]:
                slot += 1
            slots[slot % SLOTS] = inode
        slots.release()
        table.close()
    return log


class Log:
    def __init__(self, tree, path, marks):
        self.tree, self.path, self.marks_path = os.path.abspath(tree), os.path.abspath(path), os.path.abspath(marks)
        open(marks, "ab").close()

    def environment(self, library):
        return {**os.environ, "LD_PRELOAD": library, "POWERLOSS_LOG": self.path, "MARKS": self.marks_path}

    def remember(self):
        self.initial = []  # (relative path, inode, kind, content)
        for path, status in scan(self.tree):
            kind, full, content = kind_of(status), os.path.join(self.tree, path), b""
            if kind == FILE:
                with open(full, "rb") as f:
                    content = f.read()
            elif kind == SYMLINK:
                content = os.fsencode(os.readlink(full))
            self.initial.append((path, status.st_ino, kind, content))
        self.initial_inodes = {inode for _, inode, _, _ in self.initial}

    def load(self):
        """Reads all records; those that failed are left out."""
        with open(self.path, "rb") as f:
            self.file = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        used, sequence = HEADER.unpack_from(self.file)[5:7]
        self.end, self.operations = sequence, []
        at = HEADER_SIZE + 8 * SLOTS
        while at < used:
            fields = ENTRY.unpack_from(self.file, at)
            if fields[0] != RECORD:
                at += ALIGN
                continue
            o = self._operation(fields, at)
            if o.done != FAILED and not (o.done == NEVER and o.type in (CREATE, LINK)):
                self.operations.append(o)
            at += fields[1]
        if not self.operations:
            raise ValueError("nothing was recorded: was the library loaded?")
        self.operations.sort(key=lambda o: o.begin)
        self.marks = [(o.done, line) for o in self.operations if o.type == MARK and o.done != NEVER
                      for line in bytes(o.data).decode().splitlines()]

    def _operation(self, fields, at):
        o = Operation()
        (_, size, o.type, o.flags, o.begin, done, o.inode, o.inode2, o.offset, o.length, n1, n2, _) = fields
        o.done = done or NEVER
        start = at + ENTRY.size
        o.name, o.name2 = self.file[start:start + n1], self.file[start + n1:start + n1 + n2]
        o.data = memoryview(self.file)[start + n1 + n2:at + size]
        if o.type in (WRITE, MARK, CREATE):
            o.data = o.data[:o.length]
        return o

    def verify(self):
        """The log explains the tree as it is now, or ValueError: something wrote unseen."""
        state = State(self)
        state.advance(self.end + 1)
        state.sync_everything(NEVER + 1)
        expected = dict(state.walk())
        for path, status in scan(self.tree):
            node = expected.pop(path, None)
            if node is None:
                raise ValueError(f"{path} is not explained by the log")
            if kind_of(status) != FILE or node.mapped:
                continue
            with open(os.path.join(self.tree, path), "rb") as f:
                if not self._explains(node, f.read()):
                    raise ValueError(f"the content of {path} is not explained by the log")
        if expected:
            raise ValueError(f"{sorted(expected)[0]} should exist by the log")

    def _explains(self, node, found):
        """A write whose program was killed in it may have been done in part."""
        if found == node.content:
            return True
        wanted, found = bytearray(node.content), bytearray(found)
        extend(found, len(wanted))
        for o in self.operations:
            if o.type == WRITE and o.done == NEVER and o.inode == node.inode:
                wanted[o.offset:o.offset + o.length] = found[o.offset:o.offset + o.length] = bytes(o.length)
        return found == wanted

    def point(self, k, seed, piece=PAGE):
        state = State(self)
        state.advance(k)
        return Point(self, state, k, random.Random(seed), piece)

    def points(self, count, seed, piece=PAGE, first=1):
        """count states, at random moments in ascending order; the same seed gives the same ones."""
        chooser, state = random.Random(seed), State(self)
        for number, k in enumerate(sorted(chooser.randrange(first, self.end + 1) for _ in range(count))):
            state.advance(k)
            yield Point(self, state, k, random.Random(seed * 1000003 + number), piece)

    def points_after(self, is_promise, count, seed):
        """At most count states right after marks that is_promise, with nothing left of what is pending then: where a sync is
        missing for such a promise it is broken there, however quick or slow the machine was."""
        moments, state = [k for k, line in self.marks if is_promise(line)], State(self)
        for k in sorted(random.Random(seed).sample(moments, min(count, len(moments)))):
            state.advance(k + 1)
            yield Point(self, state, k + 1, random.Random(seed), PAGE, (0, 0))


class State:
    """All nodes at clock value k; moves forward only."""

    def __init__(self, log):
        self.log, self.nodes, self.names_pending = log, {}, []
        paths = {}
        for path, inode, kind, content in log.initial:
            node = paths[path] = self.nodes.setdefault(inode, Node(inode, kind, content if kind == SYMLINK else b""))
            node.content = bytearray(content)
            if path:
                folder, name = os.path.split(path)
                paths[folder].names[os.fsencode(name)] = node
        self.root = paths[""]
        self.events = sorted([(o.begin, 0, i) for i, o in enumerate(log.operations)] +
                             [(o.done, 1, i) for i, o in enumerate(log.operations) if o.done < NEVER])
        self.next_event = 0

    def advance(self, k):
        """To the moment before clock value k."""
        while self.next_event < len(self.events) and self.events[self.next_event][0] < k:
            _, ended, index = self.events[self.next_event]
            self.next_event += 1
            o = self.log.operations[index]
            (self.end if ended else self.begin)(o)

    def begin(self, o):
        if o.type in (WRITE, TRUNCATE, ALLOCATE):
            self.nodes[o.inode].pending.append(o)
        elif o.type in (CREATE, LINK, UNLINK, RENAME):
            self.change_names(o)
        elif o.type == MAP:
            self.map(o)

    def map(self, o):
        node = self.nodes[o.inode]
        names = [name for n in self.nodes.values() for name, entry in n.names.items() if entry is node]
        names += [c.name for c in self.names_pending if c.node is node]
        if not any(name.endswith(b"-shm") for name in names):  # SQLite makes its own anew after a crash
            raise ValueError(f"a shared writable mapping of {names} cannot be followed")
        node.mapped = True

    def end(self, o):
        if o.type == SYNC:
            node = self.nodes[o.inode]
            if node.kind == DIRECTORY:
                self.sync_names(o.begin, node)
            else:
                self.sync_data(node, o.begin)
        elif o.type == SYNC_ALL:
            self.sync_everything(o.begin)
        elif o.type == WRITE and o.flags & DURABLE:
            self.sync_range(self.nodes[o.inode], o)

    def current(self, directory, name):
        for change in reversed(self.names_pending):
            if change.directory is directory and change.name == name:
                return change.node
        return directory.names.get(name)

    def change_names(self, o):
        directory, add = self.nodes[o.inode], self.names_pending.append
        if o.type == CREATE:
            node = self.nodes[o.inode2] = Node(o.inode2, o.flags, bytes(o.data))
            if o.name:
                add(Change(o, directory, o.name, node))
        elif o.type == LINK:
            add(Change(o, directory, o.name, self.nodes[o.inode2]))
        elif o.type == UNLINK:
            add(Change(o, directory, o.name, None))
        else:
            target = self.nodes[o.inode2]
            node, other = self.current(directory, o.name), self.current(target, o.name2)
            if directory is target and o.name == o.name2 or node is other:
                return  # rename(2) of two links of one file does nothing
            new = Change(o, target, o.name2, node)
            add(new)
            add(Change(o, directory, o.name, other if o.flags & EXCHANGE else None, new))

    def sync_data(self, node, before):
        later = []
        for o in node.pending:
            if o.done < before:
                apply(node.content, o)
            else:
                later.append(o)
        node.pending = later

    def sync_range(self, node, written):
        """One write made itself certain: its bytes, and the size up to their end."""
        index = node.pending.index(written)
        under = [o for o in node.pending[:index] if o.type != WRITE or
                 o.offset < written.offset + written.length and written.offset < o.offset + o.length]
        for o in under + [written]:
            apply(node.content, o)
            node.pending.remove(o)

    def sync_names(self, before, directory=None):
        """The names of one directory, or of all."""
        covered = [c for c in self.names_pending if c.operation.done < before and directory in (None, c.directory)]
        certain = set(map(id, covered)) | {id(c.also) for c in covered if c.also}
        # what touched a name before a change that is now certain is certain with it
        touched = set()
        for c in reversed(self.names_pending):
            key = (id(c.directory), c.name)
            if id(c) in certain:
                touched.add(key)
                if c.also:
                    certain.add(id(c.also))
            elif key in touched:
                certain.add(id(c))
        for c in self.names_pending:
            if id(c) in certain:
                set_name(c.directory.names, c)
        self.names_pending = [c for c in self.names_pending if id(c) not in certain]

    def sync_everything(self, before):
        for node in self.nodes.values():
            if node.pending:
                self.sync_data(node, before)
        self.sync_names(before)

    def walk(self, view=None):
        """(path, node) of all that can be reached; view: names of a directory instead of the certain ones."""
        todo = [("", self.root)]
        while todo:
            path, node = todo.pop()
            yield path, node
            if node.kind == DIRECTORY:
                names = view(node) if view else node.names
                todo += [(os.path.join(path, os.fsdecode(name)), entry) for name, entry in names.items()]


def set_name(names, change):
    if change.node is None:
        names.pop(change.name, None)
    else:
        names[change.name] = change.node


def extend(content, size):
    if len(content) < size:
        content.extend(bytes(size - len(content)))


def apply(content, o):
    """One operation on the bytes of a file."""
    end = o.offset + o.length
    if o.type == WRITE:
        extend(content, o.offset)
        content[o.offset:end] = o.data
    elif o.type == TRUNCATE:
        del content[o.offset:]
        extend(content, o.offset)
    elif o.flags & ~(KEEP_SIZE | PUNCH_HOLE | ZERO_RANGE):
        raise ValueError(f"fallocate mode {o.flags} cannot be followed")
    else:
        if o.flags & (PUNCH_HOLE | ZERO_RANGE):
            last = min(end, len(content))
            content[o.offset:last] = bytes(max(0, last - o.offset))
        if not o.flags & KEEP_SIZE:
            extend(content, end)


class Point:
    """The tree as a failure just before clock value k may leave it."""

    # chances with which pending data and names are kept: the extremes, and mixtures
    STYLES = [(0, 0), (1, 1), (0, 1), (1, 0), (.5, .5), (.1, .9), (.9, .1), (.9, .9), (.5, 1), (1, .5)]

    def __init__(self, log, state, k, rng, piece, style=None):
        self.log, self.state, self.k, self.rng, self.piece = log, state, k, rng, piece
        self.data_chance, self.name_chance = style or rng.choice(self.STYLES)

    @property
    def marks(self):
        """The lines written to the marks file before the failure."""
        return [line for _, line in self.log.marks[:bisect.bisect_left(self.log.marks, (self.k, ""))]]

    def build(self, directory):
        """Makes directory anew with one possible state."""
        shutil.rmtree(directory, ignore_errors=True)
        views, made = self._choose_names(), {}
        for path, node in self.state.walk(lambda n: views.get(id(n), n.names)):
            target = os.path.join(directory, path) if path else directory
            if node.kind == DIRECTORY:
                os.mkdir(target)
            elif id(node) in made:
                os.link(made[id(node)], target)
            elif node.kind == SYMLINK:
                os.symlink(os.fsdecode(node.target), target)
            else:
                write_sparse(target, self._content(node))
                made[id(node)] = target

    def _choose_names(self):
        views, dropped, by_operation = {}, set(), {}
        for c in self.state.names_pending:
            by_operation.setdefault(c.operation, []).append(c)
        for changes in by_operation.values():
            names = {(id(c.directory), c.name) for c in changes}
            if self.rng.random() >= self.name_chance or names & dropped:
                dropped |= names
                continue
            for c in changes:
                set_name(views.setdefault(id(c.directory), dict(c.directory.names)), c)
        return views

    def _prefix(self, low, high):
        """How many of the pending operations count: low..high."""
        if self.data_chance in (0, 1):
            return high if self.data_chance else low
        if low == high or self.rng.random() < self.data_chance / 2:
            return high
        return self.rng.randint(low, high)

    def _content(self, node):
        pending = node.pending
        if not pending:
            return node.content
        sized = self._prefix(0, len(pending))  # size and truncations are those after so many operations
        cuts = [i for i, o in enumerate(pending) if o.type == TRUNCATE]
        low = max((i + 1 for i in cuts if i < sized), default=0)
        high = min((i for i in cuts if i >= sized), default=len(pending))
        size = len(node.content)
        content = bytearray(node.content)
        for i, o in enumerate(pending[:sized]):
            size = size_after(size, o)
            if i < low:
                apply(content, o)
        self._mix_pieces(content, pending[low:high])
        del content[size:]
        extend(content, size)
        return content

    def _mix_pieces(self, content, writes):
        """Each piece that the writes touch gets some number of them, in order."""
        touching = {}
        for o in writes:
            if o.length and not (o.type == ALLOCATE and not o.flags & (PUNCH_HOLE | ZERO_RANGE)):
                for p in range(o.offset // self.piece, (o.offset + o.length - 1) // self.piece + 1):
                    touching.setdefault(p, []).append(o)
        for p, operations in touching.items():
            start, end = p * self.piece, (p + 1) * self.piece
            for o in operations[:self._prefix(0, len(operations))]:
                a, b = max(start, o.offset), min(end, o.offset + o.length)
                extend(content, b)
                content[a:b] = o.data[a - o.offset:b - o.offset] if o.type == WRITE else bytes(b - a)


def size_after(size, o):
    if o.type == TRUNCATE:
        return o.offset
    if o.type == ALLOCATE and o.flags & KEEP_SIZE:
        return size
    return max(size, o.offset + o.length)


def write_sparse(path, content, block=1 << 16):
    zero = bytes(block)
    with open(path, "wb", buffering=0) as f:
        view = memoryview(content)
        for at in range(0, len(content), block):
            part = view[at:at + block]
            if part != zero[:len(part)]:
                f.seek(at)
                f.write(part)
        f.truncate(len(content))
        view.release()


def main(verb, path, *rest):
    if verb == "create":
        create(path, *rest)
    elif verb == "verify":
        reopen(path).verify()
    elif verb == "show":
        print(*reopen(path).operations, sep="\n")
    elif verb == "build":
        k, seed, directory = rest
        reopen(path).point(int(k), int(seed)).build(directory)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
