#!/usr/bin/env python3
"""Power loss under the whole post office: mail comes in by SMTP and LMTP, POP3 sessions list and delete it, all programs run under
powerloss.so; then the post office is started on what each failure left, and POP3 clients look for what was promised.

  whole_power.py CASE POWERLOSS NOSYNC BUILD

CASE "holds": no promise is broken at any point. "without-…": that kind of sync (nosync.c) is taken out, and a promise must
be broken. BUILD is the build folder. POSTHORN_CRASH_POINTS sets the number of points, POSTHORN_CRASH_SEED another run.
"""
import contextlib, os, random, signal, subprocess, sys, tempfile

SELF = os.path.realpath(__file__)
sys.path.insert(0, os.path.dirname(SELF))
sys.path.insert(0, os.path.dirname(os.path.dirname(SELF)))
import e2e, powerlog
from powerlog import mark

# a sanitizer's library stands behind those that are preloaded, and cannot look for leaks in a sandbox
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0:detect_leaks=0"

USERS, MAILS, SESSIONS_EVERY = 4, 160, 6
POINTS, POINTS_LONG = 100, 1000
BIG, BIG_EVERY = 1100000, 50  # so long a body gets a file of its own
CLOCK_RATE = "20"  # all is done in a second or two: so many flushes of the file system, and trims, fall into it
# what is missing without that sync: a flush of the file system would stand in for it
OFTEN_FLUSHED = ("", "syncfs")
SETTINGS = ("journal_size=16777216", "mailbox_linger_seconds=1", "spool_headroom=0")


# ---- the client, which runs under powerloss.so too, so that its marks have their place in time

def is_big(number):
    return number % BIG_EVERY == 7


def mail_of(number):
    line = f"mail {number} ".encode() * 60 + b"\r\n"
    lines = BIG // len(line) if is_big(number) else number * 37 % 30 + 1
    return f"Number: {number}\r\n\r\n".encode() + line * lines


def number_of(mail):
    """0 when the octets are not those of a mail of ours."""
    body = e2e.body_of(mail)
    word = body.split(b"\r\n", 1)[0].removeprefix(b"Number: ")
    return int(word) if word.isdigit() and body == mail_of(int(word)) else 0


def deliver(client, number, users, is_lmtp):
    """LMTP answers for each recipient, SMTP for all."""
    client.envelope("sender@elsewhere.test", [f"user{u}@{e2e.DOMAIN}" for u in users])
    replies = client.data(mail_of(number), len(users) if is_lmtp else 1)
    for user, reply in zip(users, replies * (1 if is_lmtp else len(users))):
        e2e.check(reply.startswith("250"), reply)
        mark(f"acked {number} {user}")


def session(instance, user, chooser):
    deleted = []
    with instance.pop3(f"user{user}@{e2e.DOMAIN}") as client:
        uids = client.uids()
        numbers = [number_of(mail) for mail in client.all()]
        for place, (number, uid) in enumerate(zip(numbers, uids), 1):
            e2e.check(number, "wrong octets before any failure")
            mark(f"told {number} {user} {uid}")
            if chooser.random() < .3:
                deleted.append(number)
                client.ok(f"DELE {place}")
        for number in deleted:
            mark(f"expunging {number} {user}")
        client.ok("QUIT")
        for number in deleted:
            mark(f"expunged {number} {user}")


def instance_at(directory, facts):
    """One that somebody else has started."""
    instance = e2e.Instance.__new__(e2e.Instance)
    instance.directory, instance.facts = directory, facts
    return instance


def work(directory, seed, facts):
    instance, chooser = instance_at(directory, facts), random.Random(seed)
    clients = instance.smtp("lmtp"), instance.smtp("smtp")
    for number in range(1, MAILS + 1):
        is_lmtp = chooser.random() < .6
        deliver(clients[not is_lmtp], number, chooser.sample(range(USERS), chooser.choice((1, 1, 2, USERS))), is_lmtp)
        if number % SESSIONS_EVERY == 0:
            session(instance, chooser.randrange(USERS), chooser)
    for client in clients:
        client.close()


# ---- what was promised

def broken(marks, found):
    """found: (user, number) → [uid, …]."""
    state = {}
    for line in marks:
        verb, number, user, *uid = line.split()
        mail = state.setdefault((int(user), int(number)), {})
        mail[verb] = uid[0] if uid else True
    for key, mail in state.items():
        uids = found.get(key, [])
        if ("acked" in mail or "told" in mail) and "expunging" not in mail and not uids:
            yield f"mail {key[1]} of user {key[0]} is lost"
        if "expunged" in mail and uids:
            yield f"mail {key[1]} of user {key[0]} came back"
        if uids and mail.get("told", uids[0]) != uids[0]:
            yield f"mail {key[1]} of user {key[0]} has another UIDL"
    for (user, number), uids in found.items():
        if len(uids) > 1:
            yield f"mail {number} of user {user} is doubled"
        if number == 0:
            yield f"wrong octets in a mail of user {user}"


def promises(kind, line):
    """Whether that kind of sync has to do with the mark."""
    verb, number, *_ = line.split()
    return is_big(int(number)) if kind == "body" else verb in ("acked", "told")


# ---- the post office

class Office:
    def __init__(self, directory, build):
        self.directory, self.build, self.owners = directory, build, {}
        self.environment = {**os.environ, "POSTHORN_BUILD": build}

    def start(self):
        command = [e2e.ROOT + "/tools/instance", "start", self.directory, "--accounts", f"user%d:{USERS}"]
        command += [word for setting in SETTINGS for word in ("--set", setting)]
        said = subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        self.facts = dict(line.split("=", 1) for line in said.split())

    def stop(self):
        subprocess.run([e2e.ROOT + "/tools/instance", "stop", self.directory], check=True)

    def master(self, environment):
        """Starts it without the waiting of tools/instance; answers when POP3 does."""
        with open(self.directory + "/log", "ab") as log:
            master = subprocess.Popen([self.build + "/daemons/posthorn-master", "--config", self.directory + "/posthorn.conf"],
                                      stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, env=environment)
        instance = instance_at(self.directory, self.facts)

        def answers():
            e2e.check(master.poll() is None, "master ended")
            try:
                instance.connect("pop3").line()
                instance.connect("lmtp").line()
            except OSError:
                return False
            return True
        e2e.until(answers, "an answer", 30)
        return master, instance

    def end(self, master, number):
        """By SIGKILL all at once; else as an administrator stops it, and nobody is killed while he writes."""
        if number == signal.SIGKILL:
            os.killpg(master.pid, number)
        else:
            os.kill(master.pid, number)
        master.wait()
        e2e.until(lambda: not e2e.session_members(master.pid), "the end of all programs", 30)

    def note_owners(self):
        for name in os.listdir(self.directory + "/data"):
            status = os.stat(f"{self.directory}/data/{name}")
            self.owners[name] = status.st_uid, status.st_gid

    def give_to_owners(self):
        """The simulator knows no owners; each program's folder is all its user's."""
        for name, owner in self.owners.items():
            top = f"{self.directory}/data/{name}"
            if not os.path.exists(top):
                continue
            os.chown(top, *owner)
            for folder, folders, files in os.walk(top):
                for entry in folders + files:
                    os.chown(os.path.join(folder, entry), *owner)

    def look(self, environment):
        found = {}
        master, instance = self.master(environment)
        try:
            for user in range(USERS):
                with instance.pop3(f"user{user}@{e2e.DOMAIN}") as client:
                    for uid, mail in zip(client.uids(), client.all()):
                        found.setdefault((user, number_of(mail)), []).append(uid)
        finally:
            self.end(master, signal.SIGKILL)
        return found


def record(office, folder, library, nosync, kind, seed, program=SELF, rate="1"):
    """The log of what program --work does, with one kind of sync taken out. rate: how fast queue's clock runs."""
    log = powerlog.create(office.directory + "/data", folder + "/power", folder + "/marks")
    os.chmod(folder + "/marks", 0o666)
    library, nosync = os.path.realpath(library), os.path.realpath(nosync)
    environment = {**log.environment(library), "LD_PRELOAD": f"{nosync}:{library}", "NOSYNC": kind, "CLOCK_RATE": rate}
    master, _ = office.master(environment)
    command = [sys.executable, program, "--work", office.directory, str(seed), *(f"{k}={v}" for k, v in office.facts.items())]
    try:
        subprocess.run(command, env=environment, check=True)
    finally:
        office.end(master, signal.SIGTERM)
    log.load()
    log.verify()
    return log


@contextlib.contextmanager
def new_office(build):
    """A folder, and in it an office that was begun and stopped."""
    with tempfile.TemporaryDirectory(prefix="power-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        os.chmod(folder, 0o755)
        office = Office(folder + "/office", os.path.realpath(build))
        office.start()
        office.stop()
        office.note_owners()
        yield folder, office


def try_points(case, office, log, points, must_hold, look):
    """The exit status: look(point, number) gives what is wrong as texts. It ends early when that decides."""
    wrong = tried = 0
    print(f"{case}: {len(log.operations)} operations, {len(log.marks)} promises", flush=True)
    for number, point in enumerate(points):
        point.build(office.directory + "/data")
        office.give_to_owners()
        tried += 1
        try:
            texts = list(look(point, number))
        except (AssertionError, OSError) as failure:
            with open(office.directory + "/log", errors="replace") as file:
                texts = [str(failure)] + file.read().splitlines()[-15:]
        for text in texts[:20]:
            print(f"point {number} at {point.k}: {text}", flush=True)
        wrong += bool(texts)
        if wrong == 3 or wrong and not must_hold:
            break
    print(f"{case}: {tried} points, {wrong} with a broken promise")
    return 0 if tried and bool(wrong) != must_hold else 1


def main(case, library, nosync, build):
    kind = case.removeprefix("without-").removeprefix("holds")
    count = int(os.environ.get("POSTHORN_CRASH_POINTS", 0)) or (POINTS_LONG if e2e.LONG and not kind else POINTS)
    seed = int(os.environ.get("POSTHORN_CRASH_SEED", 1))
    with new_office(build) as (folder, office):
        log = record(office, folder, library, nosync, kind, seed, rate=CLOCK_RATE if kind in OFTEN_FLUSHED else "1")
        points = log.points_after(lambda line: promises(kind, line), count, seed) if kind else log.points(count, seed)
        return try_points(case, office, log, points, not kind, lambda point, _: broken(point.marks, office.look(os.environ)))


if __name__ == "__main__":
    if sys.argv[1] == "--work":
        work(sys.argv[2], int(sys.argv[3]), dict(word.split("=", 1) for word in sys.argv[4:]))
    else:
        sys.exit(main(*sys.argv[1:]))
