#!/usr/bin/env python3
"""Power loss while accounts are backed up, restored and rebuilt, mail is held, keys and aliases are made: the account is whole afterwards, a
backup is either complete or refused, what was held is held, the keys and aliases are there. All programs and posthornctl run under powerloss.so, as in whole_power.py.

  care_power.py CASE POWERLOSS NOSYNC BUILD

CASE "holds": no promise is broken at any point; "holds-slow": nor when syncfs is slow, and then not done any more. "without-…":
posthornctl does not sync its file, or nobody the folder of an account or a backup, the spool's folder, a key or the database of
accounts and aliases (nosync.c), and a promise must be broken; the last three only in long runs.
POSTHORN_CRASH_POINTS sets the number of points, POSTHORN_CRASH_SEED another run.
"""
import json, os, random, signal, subprocess, sys

SELF = os.path.realpath(__file__)
sys.path.insert(0, os.path.dirname(SELF))
import powerlog
import whole_power
from whole_power import e2e, mark, number_of

ROUNDS, MAILS_A_ROUND, USERS, QUEUE_EVERY = 12, 5, 2, 4
POINTS, POINTS_LONG = 12, 600
LONG_ONLY = "without-spool", "without-key", "without-directory"
# by what is taken out: after which promises it is missed
PROMISES = {"backup": ("backed",), "account": ("backed", "restored", "rebuilt"), "spool": ("held",), "key": ("made",), "directory": ("named",)}


# ---- the administrator, whose marks are (U: a user, N: a mail, F: a file)
#
#   acked N U   told N U UID   expunging N U   expunged N U
#   backing F U   backed F U N,N,…   restoring F U   restored F U   rebuilding U   rebuilt U
#   held I (a queue id)   made S (a selector)   named A (an alias)

def ctl(instance, *words, check=True):
    return subprocess.run([instance.facts["ctl"], *words], env={**os.environ, "POSTHORN_DIR": instance.directory}, check=check,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def address(user):
    return f"user{user}@{e2e.DOMAIN}"


class Work:
    def __init__(self, directory, seed, facts):
        self.instance, self.chooser = whole_power.instance_at(directory, facts), random.Random(seed)
        self.backups, self.number, self.files = {}, 0, 0
        self.mails = {user: set() for user in range(USERS)}

    def deliver(self):
        with self.instance.smtp("lmtp") as client:
            for _ in range(MAILS_A_ROUND):
                self.number += 1
                users = self.chooser.sample(range(USERS), self.chooser.choice((1, USERS)))
                whole_power.deliver(client, self.number, users, True)
                for user in users:
                    self.mails[user].add(self.number)

    def settle(self, user):
        """A session waits for what was accepted before it, but not for ever: where programs get little time it may come later."""
        def is_there():
            with self.instance.pop3(address(user)) as client:
                return len(client.uids()) >= len(self.mails[user])
        e2e.until(is_there, f"all mails of user {user}")

    def read(self, user, share):
        """Lists all, and deletes a share of it."""
        self.settle(user)
        before = set(self.mails[user])
        with self.instance.pop3(address(user)) as client:
            numbers = [number_of(mail) for mail in client.all()]
            e2e.check(set(numbers) == before, "other mails before any failure")
            for number, uid in zip(numbers, client.uids()):
                mark(f"told {number} {user} {uid}")
            gone = [place for place in range(len(numbers)) if self.chooser.random() < share]
            for place in gone:
                client.ok(f"DELE {place + 1}")
                mark(f"expunging {numbers[place]} {user}")
            client.ok("QUIT")
            for place in gone:
                mark(f"expunged {numbers[place]} {user}")
                self.mails[user].remove(numbers[place])

    def backup(self, user):
        self.settle(user)
        self.files += 1
        name = f"{self.files}.backup"
        mark(f"backing {name} {user}")
        ctl(self.instance, "backup", address(user), f"{self.instance.directory}/data/backups/{name}")
        self.backups[user] = name, set(self.mails[user])
        mark(f"backed {name} {user} {','.join(map(str, sorted(self.mails[user])))}")

    def restore(self, user):
        name, mails = self.backups[user]
        mark(f"restoring {name} {user}")
        ctl(self.instance, "restore", address(user), f"{self.instance.directory}/data/backups/{name}")
        mark(f"restored {name} {user}")
        self.mails[user] |= mails

    def rebuild(self, user):
        mark(f"rebuilding {user}")
        ctl(self.instance, "rebuild", address(user))
        mark(f"rebuilt {user}")
        with self.instance.pop3(address(user)) as client:
            self.mails[user] = {number_of(mail) for mail in client.all()}

    def hold(self):
        """A mail that waits anyhow, so that only its being held is told."""
        with self.instance.smtp("submission", user=address(0)) as client:
            client.say(f"MAIL FROM:<{address(0)}> HOLDFOR=86400", "250")
            client.say("RCPT TO:<somebody@far.test>", "250")
            queued = e2e.QUEUED.search(client.data(b"Subject: held\r\n\r\n")[0]).group(1)
        ctl(self.instance, "queue", "hold", queued)
        mark(f"held {queued}")

    def make_key(self, number):
        ctl(self.instance, "dkim", "make", e2e.DOMAIN, f"s{number}", "ed25519")
        mark(f"made s{number}")

    def add_alias(self, number):
        ctl(self.instance, "alias", "add", f"alias{number}@{e2e.DOMAIN}", address(0))
        mark(f"named alias{number}@{e2e.DOMAIN}")

    def run(self):
        for number in range(ROUNDS):
            if number % QUEUE_EVERY == 0:
                self.hold()
                self.make_key(number)
                self.add_alias(number)
            for user in range(USERS):
                self.deliver()
                self.backup(user)
                self.deliver()
                self.read(user, .5)
                self.restore(user)
                self.read(user, 0)
                self.rebuild(user)


# ---- what was promised

class Promises:
    def __init__(self, marks):
        self.state, self.uids, self.files, self.unfinished = {}, {}, {}, {}
        self.held, self.selectors, self.aliases = set(), set(), set()
        for line in marks:
            verb, *words = line.split()
            getattr(self, "on_" + verb)(*words)

    def on_acked(self, number, user):
        self.state[int(user), int(number)] = "there"

    def on_told(self, number, user, uid):
        self.uids[int(user), int(number)] = uid

    def on_expunging(self, number, user):
        self.state[int(user), int(number)] = "perhaps"

    def on_expunged(self, number, user):
        self.state[int(user), int(number)] = "gone"

    def on_backing(self, name, user):
        self.unfinished[name] = int(user)

    def on_backed(self, name, user, numbers=""):
        self.files[name] = int(user), {int(number) for number in numbers.split(",") if number}
        del self.unfinished[name]

    def on_restoring(self, name, user):
        for number in self.files[name][1]:
            if self.state.get((int(user), number)) == "gone":
                self.state[int(user), number] = "perhaps"

    def on_restored(self, name, user):
        for number in self.files[name][1]:
            self.state[int(user), number] = "there"

    def on_rebuilding(self, user):
        """What was expunged after the last checkpoint may come back (docs/store.md)."""
        for key, state in self.state.items():
            if key[0] == int(user) and state == "gone":
                self.state[key] = "perhaps"

    def on_rebuilt(self, user):
        pass

    def on_held(self, queued):
        self.held.add(queued)

    def on_made(self, selector):
        self.selectors.add(selector)

    def on_named(self, alias):
        self.aliases.add(alias)

    def broken(self, found):
        """found: (user, number) → [uid, …]."""
        for (user, number), state in self.state.items():
            uids = found.get((user, number), [])
            if state == "there" and not uids:
                yield f"mail {number} of user {user} is lost"
            if state == "gone" and uids:
                yield f"mail {number} of user {user} came back"
        for key, uids in found.items():
            if len(uids) > 1:
                yield f"mail {key[1]} of user {key[0]} is doubled"
            if key[1] == 0:
                yield f"wrong octets in a mail of user {key[0]}"
            if self.uids.get(key, uids[0]) != uids[0]:
                yield f"mail {key[1]} of user {key[0]} has another UIDL"


# ---- after the failure

def maildrops(instance):
    found = {}
    for user in range(USERS):
        with instance.pop3(address(user)) as client:
            for uid, mail in zip(client.uids(), client.all()):
                found.setdefault((user, number_of(mail)), []).append(uid)
    return found


def restored(instance, name, user, expected):
    """What is wrong after a restore of that file: with expected (numbers) it must work, else it may be refused."""
    path, before = f"{instance.directory}/data/backups/{name}", maildrops(instance)
    result = ctl(instance, "restore", address(user), path, check=False)
    after = maildrops(instance)
    if result.returncode == 0:
        yield from (f"{name} does not give mail {number} back" for number in expected or () if (user, number) not in after)
        yield from (f"a restore of {name} took {key} away" for key in before if key not in after)
    else:
        if expected is not None:
            yield f"{name} is refused: {result.stderr.strip()}"
        if before != after:
            yield f"a refused restore of {name} changed the account"


def kept_by_queue(instance, promises):
    """Held by the administrator, not only until a time: then there is a next attempt."""
    held = {row["id"] for row in rows(instance, "queue", "list") if row["state"] == "held" and row["next"] == "0"}
    yield from (f"mail {queued} is not held any more" for queued in sorted(promises.held - held))
    selectors = {row["selector"] for row in rows(instance, "dkim", "list", e2e.DOMAIN)}
    yield from (f"key {selector} is lost" for selector in sorted(promises.selectors - selectors))


def kept_by_auth(instance, promises):
    aliases = {row["alias"] for row in rows(instance, "alias", "list")}
    yield from (f"{alias} is lost" for alias in sorted(promises.aliases - aliases))


def rows(instance, *words):
    return json.loads(ctl(instance, "--json", *words).stdout)


def look(office, promises, chooser):
    master, instance = office.master(os.environ)
    try:
        yield from promises.broken(maildrops(instance))
        yield from kept_by_queue(instance, promises)
        yield from kept_by_auth(instance, promises)
        for name in chooser.sample(sorted(promises.files), min(1, len(promises.files))):
            yield from restored(instance, name, *promises.files[name])
        for name, user in promises.unfinished.items():
            for path in (name, name + ".new"):
                if os.path.exists(f"{instance.directory}/data/backups/{path}"):
                    yield from restored(instance, path, user, None)
    finally:
        office.end(master, signal.SIGKILL)


def main(case, library, nosync, build):
    if case in LONG_ONLY and not e2e.LONG:
        print(f"{case} is part of long runs")
        return 77
    kind, must_hold = case.removeprefix("without-").removeprefix("holds").removeprefix("-"), case.startswith("holds")
    count = int(os.environ.get("POSTHORN_CRASH_POINTS", 0)) or (POINTS_LONG if e2e.LONG and (must_hold or case in LONG_ONLY) else POINTS)
    seed = int(os.environ.get("POSTHORN_CRASH_SEED", 1))
    with whole_power.new_office(build) as (folder, office):
        os.mkdir(office.directory + "/data/backups", 0o700)
        log = whole_power.record(office, folder, library, nosync, kind, seed, SELF)
        with open(office.directory + "/log", errors="replace") as file:
            e2e.check((kind == "slow") == ("sync-slow" in file.read()), "whether syncfs was slow")
        points = log.points(count, seed) if must_hold else log.points_after(lambda line: line.split()[0] in PROMISES[kind], count, seed)
        return whole_power.try_points(case, office, log, points, must_hold,
                                      lambda point, number: look(office, Promises(point.marks), random.Random(seed + number)))


if __name__ == "__main__":
    if sys.argv[1] == "--work":
        Work(sys.argv[2], int(sys.argv[3]), dict(word.split("=", 1) for word in sys.argv[4:])).run()
    else:
        sys.exit(main(*sys.argv[1:]))
