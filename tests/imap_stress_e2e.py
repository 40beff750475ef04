#!/usr/bin/env python3
"""Many IMAP clients on few accounts, doing random things, while mailbox processes are killed: each client's view stays true.

Each client keeps what it was told and checks every response against it: EXISTS never falls, EXPUNGE names a message that is there
and comes when it may, UIDs ascend with the numbers, MODSEQ never falls. After a kill it comes back with QRESYNC and must find
what it finds without. Mails have numbers: one whose APPEND was answered OK is there at the end unless a client set out to remove
it, and when all is quiet every client sees what a new one sees.
"""
import random
import re
import sys
import threading

import e2e
import imap_transcript
from e2e import check, equal

ACCOUNTS = 3 if e2e.LONG else 2
CLIENTS = 6 if e2e.LONG else 4  # of each account
COMMANDS = 1500 if e2e.LONG else 200  # of each client
KILLS = 60 if e2e.LONG else 8
BOXES = ("INBOX", "Other")
KEYWORDS = ("$Forwarded", "work", "later", "\\Seen", "\\Flagged", "\\Answered")
FETCHED = re.compile(r"\* (\d+) FETCH \((.*)\)", re.S)


class Gone(Exception):
    """The connection ended, as it may when the process is killed."""


class Truth:
    """What all clients of an account know together: which mails must be there."""

    def __init__(self):
        self.lock = threading.Lock()
        self.number = 0
        self.stored = set()    # numbers whose APPEND was answered OK
        self.removable = set() # numbers that somebody may have removed

    def next_number(self):
        with self.lock:
            self.number += 1
            return self.number


def numbers_of(sets):
    """The numbers of "1:3,7"."""
    for part in sets.split(","):
        first, _, last = part.partition(":")
        yield from range(int(first), int(last or first) + 1)


class Client:
    def __init__(self, instance, user, truth, seed, qresync):
        self.instance, self.user, self.truth = instance, user, truth
        self.random = random.Random(seed)
        self.qresync = qresync
        self.name = f"{user}/{seed}"
        self.connection = None
        self.box = None
        self.uids = []         # by number; None: not told yet
        self.modseqs = {}      # by UID
        self.left = {}         # box: (UIDVALIDITY, HIGHESTMODSEQ, UIDs), of the session before
        self.validity = self.highest = self.counted = None
        self.uidnext = 0
        self.went = set()      # since SELECT
        self.subjects = {}     # by (box, UID)
        self.reconnects = 0

    # ---- the connection ----

    def connect(self):
        """Until the account has a process that answers."""
        def attempt():
            try:
                self.connection = imap_transcript.log_in(self.instance, self.user)
                return True
            except (OSError, AssertionError):
                return False
        e2e.until(attempt, f"{self.name} logs in")
        self.reconnects += 1
        self.box, self.uids, self.modseqs = None, [], {}
        if self.qresync:
            self.command("ENABLE QRESYNC")

    def keep(self):
        """What a client has on its disk when the connection goes."""
        if self.box and None not in self.uids and self.highest:
            self.left[self.box] = (self.validity, self.highest, list(self.uids))

    def command(self, text, numbers=False):
        """Its untagged responses, and the tagged one. numbers: no EXPUNGE may come."""
        tag = self.connection.tag()
        self.connection.send(f"{tag} {text}\r\n".encode())
        untagged = []
        while True:
            try:
                response = self.connection.response()
            except (ConnectionError, AssertionError) as failure:
                raise Gone from failure
            if response is None or response.startswith("* BYE"):
                raise Gone
            if response.startswith(tag + " "):
                self.connection.waiting.remove(tag)
                answer = response[len(tag) + 1:]
                check(not answer.startswith("BAD"), f"{self.name}: {text}: {answer}")
                self.look(answer)
                return untagged, answer
            check(not (numbers and (response.endswith("EXPUNGE") or response.startswith("* VANISHED"))),
                  f"{self.name}: {response} within {text}")
            self.told(response, text)
            untagged.append(response)

    # ---- what it was told ----

    def look(self, response):
        found = re.search(r"\[HIGHESTMODSEQ (\d+)\]", response)
        if found:
            self.highest = int(found[1])
        found = re.search(r"\[UIDVALIDITY (\d+)\]", response)
        if found:
            self.validity = int(found[1])
        found = re.search(r"\[UIDNEXT (\d+)\]", response)
        if found:
            check(int(found[1]) >= self.uidnext or self.box != self.counted, f"{self.name}: {response} after {self.uidnext}")
            self.uidnext, self.counted = int(found[1]), self.box

    def told(self, response, text):
        where = f"{self.name}: {response} within {text}; {len(self.uids)} messages"
        self.look(response)
        found = re.match(r"\* (\d+) (EXISTS|EXPUNGE)$", response)
        if found and found[2] == "EXISTS":
            count = int(found[1])
            check(count >= len(self.uids), where)
            self.uids += [None] * (count - len(self.uids))
        elif found:
            number = int(found[1])
            check(1 <= number <= len(self.uids) and not self.qresync, where)
            del self.uids[number - 1]
        elif response.startswith("* VANISHED (EARLIER) "):
            gone = set(numbers_of(response.split()[3]))
            check(not gone & set(self.uids), where)
        elif response.startswith("* VANISHED "):
            self.vanished(response, where)
        elif found := FETCHED.match(response):
            self.fetched(int(found[1]), found[2], where)

    def vanished(self, response, where):
        gone = list(numbers_of(response.split()[2]))
        self.went.update(gone)
        check(self.qresync, where)
        unknown = [uid for uid in gone if uid not in self.uids]
        # those whose UID was not told yet can't be found by it; then all of the numbers must be learned again
        check(len(unknown) <= self.uids.count(None), where)
        if unknown:
            self.uids = [None] * (len(self.uids) - len(gone))
        else:
            self.uids = [uid for uid in self.uids if uid not in set(gone)]

    def fetched(self, number, items, where):
        check(1 <= number <= len(self.uids), where)
        found = re.search(r"UID (\d+)", items)
        if found:
            uid = int(found[1])
            check(self.uids[number - 1] in (None, uid), f"{where}; it was {self.uids[number - 1]}")
            before = [u for u in self.uids[:number - 1] if u]
            after = [u for u in self.uids[number:] if u]
            check(not before or before[-1] < uid, where)
            check(not after or uid < after[0], where)
            self.uids[number - 1] = uid
        modseq = re.search(r"MODSEQ \((\d+)\)", items)
        uid = self.uids[number - 1]
        if modseq and uid:
            check(int(modseq[1]) >= self.modseqs.get(uid, 0), where)
            self.modseqs[uid] = int(modseq[1])

    # ---- what it does ----

    def select(self, box=None):
        box = box or self.random.choice(BOXES)
        self.keep()
        self.box, self.uids, self.modseqs, self.highest, self.went = box, [], {}, None, set()
        known = self.left.get(box) if self.qresync else None
        if not known:
            self.command(f"SELECT {box}")
            return
        validity, highest, uids = known
        untagged, _ = self.command(f"SELECT {box} (QRESYNC ({validity} {highest}))")
        equal(self.validity, validity, f"{self.name}: UIDVALIDITY")
        check(self.highest >= highest, f"{self.name}: HIGHESTMODSEQ fell from {highest} to {self.highest}")
        self.compare_resync(uids, untagged)

    def compare_resync(self, before, untagged):
        """What was there before, less what vanished, plus what is new, is what is there."""
        gone, new = set(), set()
        for response in untagged:
            if response.startswith("* VANISHED (EARLIER) "):
                gone |= set(numbers_of(response.split()[3]))
            elif found := FETCHED.match(response):
                new.add(int(re.search(r"UID (\d+)", found[2])[1]))
        self.learn()
        now = set(self.uids)
        lost = set(before) - gone - self.went - now
        check(not lost, f"{self.name}: {sorted(lost)[:20]} vanished and nobody said so")
        check(not gone & now, f"{self.name}: {sorted(gone & now)[:20]} were said to have vanished")
        came = {uid for uid in now - set(before) if uid < self.uidnext}
        check(came <= new, f"{self.name}: {sorted(came - new)[:20]} are new and nobody said so")

    def learn(self):
        """All UIDs; EXISTS may bring more meanwhile."""
        while None in self.uids:
            self.command("NOOP")  # numbers of what is gone, and was not told so yet, have no UID any more
            if self.uids:
                self.command(f"FETCH 1:{len(self.uids)} (UID)", numbers=True)

    def append(self):
        number = self.truth.next_number()
        mail = f"Subject: mail {number}\r\n\r\n{'x' * self.random.randrange(3000)}\r\n"
        box = self.random.choice(BOXES)
        _, answer = self.command(f"APPEND {box} ({self.random.choice(KEYWORDS)}) {{{len(mail)}+}}\r\n{mail}")
        check(answer.startswith("OK [APPENDUID "), answer)
        with self.truth.lock:
            self.truth.stored.add(number)

    def some(self):
        first = self.random.randint(1, len(self.uids))
        return f"{first}:{min(len(self.uids), first + self.random.randrange(5))}"

    def store(self):
        how = self.random.choice(("+FLAGS", "-FLAGS", "+FLAGS.SILENT", "-FLAGS.SILENT"))
        condition = f" (UNCHANGEDSINCE {self.highest})" if self.highest and self.random.random() < 0.2 else ""
        self.command(f"STORE {self.some()}{condition} {how} ({self.random.choice(KEYWORDS)})", numbers=True)

    def uid_store(self):
        known = [uid for uid in self.uids if uid]
        if known:
            self.command(f"UID STORE {self.random.choice(known)}:* +FLAGS ({self.random.choice(KEYWORDS)})")

    def remove(self):
        """Says beforehand which mails may go, so that no kill makes them look lost."""
        untagged, answer = self.command(f"FETCH {self.some()} (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])", numbers=True)
        if not answer.startswith("OK"):
            return
        numbers = [int(n) for response in untagged for n in re.findall(r"Subject: mail (\d+)", response)]
        uids = [uid for response in untagged if "BODY[" in response for uid in re.findall(r"UID (\d+)", response)]
        with self.truth.lock:
            self.truth.removable.update(numbers)
        if uids:
            self.command(f"UID STORE {','.join(uids)} +FLAGS.SILENT (\\Deleted)")
            self.command(f"UID EXPUNGE {','.join(uids)}")

    def move(self):
        self.command(f"MOVE {self.some()} {self.random.choice(BOXES)}")

    def copy(self):
        self.command(f"COPY {self.some()} {self.random.choice(BOXES)}")

    def fetch(self):
        self.command(f"FETCH {self.some()} (UID FLAGS RFC822.SIZE{' MODSEQ' if self.qresync else ''})", numbers=True)

    def idle(self):
        """Until the first news, or not at all: DONE goes along."""
        tag = self.connection.tag()
        self.connection.send(f"{tag} IDLE\r\nDONE\r\n".encode())
        while True:
            try:
                response = self.connection.response()
            except (ConnectionError, AssertionError) as failure:
                raise Gone from failure
            if response is None or response.startswith("* BYE"):
                raise Gone
            if response.startswith(tag + " "):
                self.connection.waiting.remove(tag)
                return
            if not response.startswith("+"):
                self.told(response, "IDLE")

    def noop(self):
        self.command("NOOP")

    def step(self):
        if not self.box or self.random.random() < 0.04:
            self.select()
        if self.qresync and None in self.uids and self.random.random() < 0.5:
            self.learn()
        if not self.uids:
            self.append()
            self.noop()
            return
        doings = ((self.append, 4), (self.store, 4), (self.uid_store, 2), (self.fetch, 4), (self.remove, 2), (self.move, 1),
                  (self.copy, 0.3), (self.idle, 1), (self.noop, 3))
        self.random.choices([d for d, _ in doings], [weight for _, weight in doings])[0]()

    def go(self, done):
        """So many commands, coming back whenever the connection goes."""
        self.connect()
        for _ in range(COMMANDS):
            try:
                self.step()
            except Gone:
                self.keep()
                self.connection.close()
                self.again()
            done.release()

    def again(self):
        while True:
            try:
                self.connect()
                return
            except Gone:
                continue


class Load:
    """All clients at once; their failures are raised at the end."""

    def __init__(self, clients):
        self.clients = clients
        self.failures = []
        self.done = threading.Semaphore(0)
        self.threads = [threading.Thread(target=self.run, args=(client,)) for client in clients]

    def run(self, client):
        try:
            client.go(self.done)
        except Exception as failure:
            self.failures.append(failure)
            self.done.release(COMMANDS)

    def wait(self):
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise self.failures[0]


def kill_some(instance, load, choose):
    """Kills spread over the work: one after each so many commands."""
    every = len(load.clients) * COMMANDS // (KILLS + 1)
    for _ in range(KILLS):
        for _ in range(every):
            load.done.acquire()
        pids = instance.pids("mailbox")
        if pids:
            e2e.kill(choose.choice(sorted(pids)))


def fresh_session(instance, user):
    """The last kill may be a moment ago."""
    sessions = []

    def attempt():
        try:
            sessions.append(imap_transcript.log_in(instance, user))
        except (OSError, AssertionError):
            pass
        return sessions
    e2e.until(attempt, f"{user} logs in")
    return sessions[0]


def snapshot(connection, box):
    """UID → flags without \\Recent, as a new client sees it."""
    connection.command(f"SELECT {box}")
    untagged, answer = connection.command("UID FETCH 1:* (FLAGS)")
    check(answer.startswith("OK"), answer)
    seen = {}
    for response in untagged:
        if found := FETCHED.match(response):
            uid = int(re.search(r"UID (\d+)", found[2])[1])
            flags = re.search(r"FLAGS \(([^)]*)\)", found[2])[1].split()
            seen[uid] = sorted(set(flags) - {"\\Recent"})
    return seen


def compare_views(instance, clients):
    """When all is quiet each client, whatever it went through, has the numbers that a new one has."""
    for client in clients:
        box = client.box or "INBOX"
        try:
            client.noop() if client.box else client.select(box)
        except Gone:
            client.again()
            client.select(box)
        client.learn()
        with fresh_session(instance, client.user) as fresh:
            seen = snapshot(fresh, box)
        equal(client.uids, sorted(seen), f"{client.name}: the UIDs of {box}")


def mails_there(instance, user):
    there = set()
    with fresh_session(instance, user) as fresh:
        for box in BOXES:
            fresh.command(f"SELECT {box}")
            untagged, _ = fresh.command("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            there |= {int(n) for response in untagged for n in re.findall(r"Subject: mail (\d+)", response)}
    return there


def main():
    seed = random.SystemRandom().randrange(1 << 32) if len(sys.argv) < 2 else int(sys.argv[1])
    with e2e.Instance(accounts=(f"user%d:{ACCOUNTS}",)) as instance:
        choose = random.Random(seed)
        users = [instance.fresh_user() for _ in range(ACCOUNTS)]
        truths = {user: Truth() for user in users}
        for user in users:
            with imap_transcript.log_in(instance, user) as first:
                equal(first.command("CREATE Other")[1][:2], "OK", "CREATE")
        clients = [Client(instance, user, truths[user], choose.randrange(1 << 32), n % 2 == 0)
                   for user in users for n in range(CLIENTS)]
        load = Load(clients)

        def storm():
            print(f"# seed {seed}", flush=True)
            for thread in load.threads:
                thread.start()
            kill_some(instance, load, choose)
            load.wait()
            check(sum(client.reconnects for client in clients) > len(clients), "no kill met a client")

        def nothing_lost():
            for user in users:
                truth = truths[user]
                lost = truth.stored - truth.removable - mails_there(instance, user)
                check(not lost, f"{user}: mails {sorted(lost)[:20]} are lost")

        e2e.run([("clients and kills", storm), ("nothing that was answered OK is lost", nothing_lost),
                 ("in the end all clients see the same", lambda: compare_views(instance, clients))])


if __name__ == "__main__":
    main()
