"""Master and its programs, with one of them replaced by one that breaks the rules (offender.c).

    ipc_test.py BUILD [PART]    BUILD has daemons/posthorn-* and tests/ipc/offender; PART of the names of the tests to run

A bad message from any of them ends that one and nobody else; master lives, starts it anew and waits longer each time.
And what must hold when master or a mailbox process is killed.
"""
import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import e2e  # noqa: E402
from e2e import check, until  # noqa: E402

BUILD = pathlib.Path(sys.argv[1])
PROGRAMS = ("master", "auth", "queue", "resolver", "relay", "mailbox", "porter", "smtpd")
AS_NOBODY = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}

# What is wrong, and what master or the peer says of it.
TO_MASTER = {
    "garbage": "no frame", "unknown": "no frame", "forbidden": "message not permitted", "malformed": "malformed message",
    "replayed": "message not permitted in this state", "version": "malformed message", "role": "malformed message",
    "unready": "message not permitted in this state", "flood": "message sent too often",
}
OF_PORTER = {"replayed-session": "malformed message", "two-descriptors": "malformed message"}
TO_PEER = ("garbage", "forbidden", "malformed")
# Who may say something once only; the others ask and answer, which done twice gains nothing.
ONCE = (("porter", "auth"), ("smtpd", "queue"), ("relay", "queue"))


def own_address():
    """Of one office: its ports are in nobody's way."""
    return "127." + ".".join(str(random.randrange(1, 255)) for _ in range(3))


class Office:
    """A master in a folder of its own, with these programs replaced."""

    def __init__(self, fakes=(), plan="", settings=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="posthorn-ipc-"))
        self.folder.chmod(0o755)
        self.fakes, self.plan, self.settings = fakes, plan, settings
        address = own_address()
        self.pop3, self.smtp = (address, 11110), (address, 11025)
        for name in PROGRAMS:
            source = BUILD / "tests/ipc/offender" if name in fakes else BUILD / f"daemons/posthorn-{name}"
            shutil.copy(source, self.folder / f"posthorn-{name}")
        shutil.copy(BUILD / "tests/ipc/offender", self.folder / "helper")
        for name in ("data", "run"):
            (self.folder / name).mkdir(mode=0o755)
            if AS_NOBODY:
                shutil.chown(self.folder / name, "nobody", "nogroup")
        listeners = "".join(f"listen_{service} = {{}}\n" for service in
                            ("submission", "submissions", "lmtp", "pop3s", "imap", "imaps"))
        (self.folder / "posthorn.conf").write_text(
            f'hostname = "mail.example.test"\ndata_directory = "{self.folder}/data"\nruntime_directory = "{self.folder}/run"\n'
            f'{listeners}listen_pop3 = {{ "{address}:{self.pop3[1]}" }}\nlisten_smtp = {{ "{address}:{self.smtp[1]}" }}\n'
            f'exempt_networks = {{ "127.0.0.0/8" }}\npregreet_wait_ms = 0\nporter_workers = 1\njournal_size = 16777216\n'
            'spool_headroom = 0\n')
        self.log_path = self.folder / "log"
        self.masters = []

    def start(self):
        environment = dict(os.environ, POSTHORN_OFFENCE=self.plan)
        environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        command = [self.folder / "posthorn-master", "--config", self.folder / "posthorn.conf"]
        for setting in self.settings:
            command += ["--set", setting]
        with open(self.log_path, "ab") as log:
            self.master = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, env=environment, **AS_NOBODY)
        self.masters.append(self.master)
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        for master in self.masters:
            if master.poll() is None:
                master.kill()
            master.wait()
        if kind and kind is not e2e.Skipped:
            for line in self.log().splitlines()[-40:]:
                print("#", line)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def lines(self, program, event, **fields):
        """How many such lines the log has."""
        wanted = [f" {key}=" + str(value).replace(" ", "\\x20") for key, value in fields.items()]
        return sum(all(f + " " in line + " " for f in wanted) for line in self.log().splitlines()
                   if re.match(rf"\S+ {program} \S+ (\w+ )?{event}\b", line))

    def descendants(self):
        """pid → (parent, name) of all that live below master."""
        parents, found = {}, {self.master.pid: (0, "posthorn-master")}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
                words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace").split("\0")
            except (OSError, ProcessLookupError):
                continue
            state, parent = stat.rsplit(")", 1)[1].split()[:2]
            if state not in "ZX":
                parents[int(entry)] = (int(parent), " ".join(w for w in words if w))
        grown = True
        while grown:
            new = {pid: facts for pid, facts in parents.items() if facts[0] in found and pid not in found}
            found.update(new)
            grown = bool(new)
        del found[self.master.pid]
        return found

    def pids(self, program, below_master=True):
        return {pid for pid, (parent, name) in self.descendants().items()
                if name.startswith("posthorn-" + program) and (parent == self.master.pid) == below_master}

    def bystanders(self):
        """The processes that are no fakes and that run as long as master does."""
        names = [name for name in ("auth", "queue", "mailbox", "porter") if name not in self.fakes]
        return {name: self.pids(name) for name in names}

    def is_up(self):
        """All programs run, and those that say so are ready."""
        check(self.master.poll() is None, "master ended")
        ready = [("auth", "auth"), ("queue", "queue"), ("mailbox", "zygote")]
        return all(self.lines("master", "started", role=role) for name, role in ready if name not in self.fakes) and all(
            self.bystanders().values())

    def want(self, account):
        """Has the account's mailbox process started."""
        until(lambda: subprocess.run([self.folder / "helper", self.folder / "run/master.socket", str(account)],
                                     check=False, **AS_NOBODY).returncode == 0, "master's control socket")

    def mailboxes(self):
        return self.pids("mailbox", below_master=False)

    def greets(self, place):
        with socket.create_connection(place, timeout=e2e.TIMEOUT) as client:
            return client.recv(1000)[:3] in (b"+OK", b"220")


def unharmed(office, act):
    """Runs act and checks that it cost none of the others."""
    until(office.is_up, "all programs up")
    before = office.bystanders()
    act()
    check(office.master.poll() is None, "master ended")
    check(office.bystanders() == before, f"was {before}, is {office.bystanders()}")
    if not {"porter", "auth"} & set(office.fakes):
        check(office.greets(office.pop3), "no greeting")


def to_master(role, offence, why):
    """Ended for it, started anew, ended again."""
    name = "mailbox" if role == "zygote" else role
    with Office((name,), f"{role}>master:{offence}") as office:
        unharmed(office, lambda: until(lambda: office.lines("master", "process-ended", role=role, why=why) >= 2,
                                       f"{role} ended twice: {why}"))
        if role in ("porter", "smtpd"):
            answered = office.lines("offender", "probe-answered")
            until(lambda: office.lines("offender", "probe-answered") > answered, "the other kind is served")


def to_peer(role, peer, offence):
    """The peer closes the channel and tells master."""
    with Office((role,), f"{role}>{peer}:{offence}") as office:
        unharmed(office, lambda: until(lambda: office.lines("master", "process-ended", role=role,
                                                            why="reported for what it sent") >= 2, f"{role} reported twice"))
        if role in ("porter", "smtpd"):
            answered = office.lines("offender", "probe-answered")
            until(lambda: office.lines("offender", "probe-answered") > answered, "the other kind is served")


def mailbox_to(target, offence):
    """A mailbox process that misbehaves, forked by a zygote that does not."""
    with Office(("mailbox",), f"mailbox>{target}:{offence}") as office:
        def act():
            why = "reported for what it sent" if target == "queue" else TO_MASTER[offence]
            for life in (1, 2):
                office.want(7)
                until(lambda: office.lines("master", "process-ended", role="mailbox", why=why) >= life,
                      f"mailbox ended {life} times")
        unharmed(office, act)
        check(office.lines("master", "process-ended", role="zygote") == 0, "its zygote was ended")


def auth_to_porter(offence):
    """A porter cannot judge auth: it makes room for a fresh one and goes on with what it has."""
    with Office(("auth",), f"auth>porter:{offence}") as office:
        until(lambda: office.lines("porter", "auth-channel-ended") >= 2, "the porters' channels to auth end")
        until(lambda: len(office.pids("porter")) >= 2, "fresh porters")
        check(office.master.poll() is None, "master ended")
        check(office.lines("master", "process-ended", role="queue") == 0, "queue was ended")


def queue_to_mailbox(offence):
    with Office(("queue",), f"queue>mailbox:{offence}") as office:
        def act():
            office.want(7)
            until(lambda: office.lines("mailbox", "queue-channel-ended") == 1, "the mailbox process ends its channel to queue")
            check(office.lines("master", "process-ended", role="mailbox") == 0, "the mailbox process ended")
            check(len(office.mailboxes()) == 1, "the mailbox process is gone")
        unharmed(office, act)


def to_relay(role, offence):
    """relay talks to strangers, so its word ends nobody: it makes room for a fresh one of itself."""
    with Office((role,), f"{role}>relay:{offence}") as office:
        def act():
            first = set()
            until(lambda: first or first.update(office.pids("relay")) or first, "a relay")
            until(lambda: office.lines("relay", f"{role}-ended") >= 2, f"relays end their channels to {role}")
            until(lambda: office.pids("relay") - first, "a fresh relay")
        unharmed(office, act)
        check(office.lines("master", "process-ended", role="relay") == 0, "relay crashed")


def to_smtpd(role, offence):
    """Likewise, after the session in which it sees what is wrong; the client hears no more than that it may try again."""
    with Office((role,), f"{role}>smtpd:{offence}", ("exempt_networks=", "dnsbl=list.test")) as office:
        def act():
            for _ in range(2):
                until(lambda: office.pids("smtpd"), "smtpds")
                before = office.pids("smtpd")
                with e2e.Line(socket.create_connection(office.smtp, timeout=e2e.TIMEOUT)) as client:
                    client.reply()
                    for command in ("EHLO client.test", "MAIL FROM:<a@elsewhere.test>", "RCPT TO:<b@example.test>", "QUIT"):
                        client.send(command)
                        answer = client.reply()[-1] or ""
                        check(answer and not answer.startswith("421"), f"{command}: {answer}")
                until(lambda: before - office.pids("smtpd"), "the end of the smtpd that saw it")
        unharmed(office, act)


def callers_at_the_sockets():
    """Who comes by a local socket (posthornctl; for passwords anybody) and talks nonsense is cut off, alone."""
    with Office() as office:
        def act():
            for name in ("master", "auth", "queue", "password"):
                for words in (b"garbage", b"\0" * 64, b"\xff" * 70000):
                    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
                        caller.settimeout(e2e.TIMEOUT)
                        caller.connect(str(office.folder / f"run/{name}.socket"))
                        caller.send(words)
                        try:
                            check(caller.recv(100) == b"", f"{name} answers {words[:7]}")
                        except ConnectionResetError:
                            pass
        unharmed(office, act)


def session_of_nonsense():
    """Master passes a SESSION on unread: its receiver must bear what a porter made of it."""
    with Office(("porter", "auth"), "porter>master:session") as office:
        def act():
            until(lambda: office.lines("mailbox", "malformed-session") == 1, "the mailbox process sees it")
            check(len(office.mailboxes()) == 1, "the mailbox process is gone")
            check(office.lines("master", "process-ended", role="mailbox") == 0, "the mailbox process ended")
        unharmed(office, act)


def sessions_that_nobody_joins():
    """One porter has its own room for them: it is told what is too much, and master serves the others."""
    with Office(("porter",), "porter>master:many-sessions") as office:
        def act():
            until(lambda: office.lines("offender", "sessions-refused", count=100) == 1, "what was too much is refused")
            answered = office.lines("offender", "probe-answered")
            until(lambda: office.lines("offender", "probe-answered") > answered, "the other porter is served")
        unharmed(office, act)


def return_of_nonsense():
    """The same the other way: a SESSION_RETURN that smtpd made up."""
    with Office(("smtpd",), "smtpd>porter:return") as office:
        def act():
            until(lambda: office.greets(office.smtp), "greeting")
            with e2e.Line(socket.create_connection(office.smtp, timeout=e2e.TIMEOUT)) as client:
                client.reply()
                client.send("EHLO client.test")
                client.reply()
                client.send("MAIL FROM:<a@example.test>")
                until(lambda: office.lines("porter", r"malformed-return") == 1, "porter sees it")
        unharmed(office, act)


def restarts_are_backed_off():
    """One that always breaks the rules is started less and less often, and delays nobody else's start."""
    with Office(("porter",), "porter>master:garbage") as office:
        until(office.is_up, "all programs up")
        until(lambda: office.lines("master", "process-ended", role="porter") >= 6, "six ends")
        times = [line.split()[0] for line in office.log().splitlines() if " process-ended " in line and "role=porter" in line]
        seconds = [float(t[17:-1]) + 60 * int(t[14:16]) for t in times]
        gaps = [(b - a) % 3600 for a, b in zip(seconds, seconds[1:])]
        check(all(gap >= 0.05 * 2 ** i - 0.002 for i, gap in enumerate(gaps)), f"gaps between ends: {gaps}")
        # Meanwhile an auth that is killed comes back at once.
        (auth,) = office.pids("auth")
        os.kill(auth, signal.SIGKILL)
        until(lambda: office.pids("auth") - {auth}, "a new auth", 3)


def a_failing_mailbox_is_left_alone():
    with Office(("mailbox",), "mailbox>master:malformed") as office:
        until(office.is_up, "all programs up")
        for life in range(5):
            office.want(7)
            until(lambda: office.lines("master", "process-ended", role="mailbox") > life, "it ends")
        office.want(7)
        until(lambda: office.lines("master", "mailbox-unavailable", account=7), "master leaves it alone")
        check(office.lines("master", "process-ended", role="mailbox") == 5, "it was started once more")


def a_hung_mailbox_is_killed():
    """It answers no ping and does nothing; the next one serves the account."""
    with Office() as office:
        def act():
            office.want(7)
            until(lambda: len(office.mailboxes()) == 1 and office.lines("master", "started", role="mailbox"), "its process")
            (hung,) = office.mailboxes()
            os.kill(hung, signal.SIGSTOP)
            until(lambda: office.lines("master", "mailbox-hangs", account=7) == 1, "master notices", 60)
            until(lambda: hung not in alive(), "it is gone")
            office.want(7)
            until(lambda: len(office.mailboxes()) == 1, "the next one")
        unharmed(office, act)


def a_busy_mailbox_is_left_alone():
    """One that works without a moment for an answer."""
    with Office(("mailbox",), "mailbox>master:silent") as office:
        def act():
            office.want(7)
            until(lambda: office.lines("master", "mailbox-busy", account=7) == 1, "master notices", 60)
            until(lambda: office.lines("master", "mailbox-busy", account=7) == 2, "and again", 60)
            check(office.lines("master", "mailbox-hangs") == 0 and len(office.mailboxes()) == 1, "it was killed")
        unharmed(office, act)


def nothing_outlives_master():
    """kill -9 of master: all are gone, also those that are stopped, and the next master finds every account free."""
    with Office() as office:
        until(office.is_up, "all programs up")
        for account in (1, 2, 3):
            office.want(account)
        until(lambda: len(office.mailboxes()) == 3, "three mailbox processes")
        old = set(office.descendants())
        for stopped in (*office.pids("queue"), min(office.mailboxes())):
            os.kill(stopped, signal.SIGSTOP)
        office.master.kill()
        office.master.wait()
        started = office.lines("master", "started", role="mailbox")
        office.start()
        for account in (1, 2, 3):
            office.want(account)
        until(lambda: office.lines("master", "started", role="mailbox") >= started + 3, "the accounts serve again")
        check(not old & alive(), "an old process lives")


def alive():
    pids = set()
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX":
                pids.add(int(entry))
        except OSError:
            pass
    return pids


def everybody_comes_back():
    """kill -9 of each program: the others stay, and it is replaced."""
    with Office() as office:
        until(office.is_up, "all programs up")
        for name in ("auth", "queue", "porter", "smtpd", "resolver", "relay"):
            before = office.bystanders()
            victim = min(office.pids(name))
            os.kill(victim, signal.SIGKILL)
            until(lambda: victim not in office.pids(name) and office.pids(name) and len(office.pids(name)) >= len(before.get(name, ())),
                  f"a new {name}")
            for other, pids in office.bystanders().items():
                check(other == name or pids == before[other], f"{other} was {before[other]}, is {pids}")
            until(lambda: office.greets(office.pop3), "greeting")


def a_crashed_child_taints_its_zygote():
    """Its siblings share its memory layout: they stay, but the next ones come from a fresh zygote."""
    with Office() as office:
        until(office.is_up, "all programs up")
        (zygote,) = office.pids("mailbox")
        for account in (1, 2):
            office.want(account)
        until(lambda: len(office.mailboxes()) == 2, "two mailbox processes")
        victim, sibling = sorted(office.mailboxes())
        os.kill(victim, signal.SIGABRT)
        until(lambda: len(office.pids("mailbox")) == 2, "a second zygote")
        check(sibling in office.mailboxes(), "the sibling is gone")
        office.want(3)
        until(lambda: len(office.mailboxes()) == 2, "another mailbox process")
        (third,) = office.mailboxes() - {sibling}
        check(office.descendants()[third][0] != zygote, "it came from the old zygote")


def all_tests():
    # they wait longest
    for function in (a_busy_mailbox_is_left_alone, a_hung_mailbox_is_killed):
        yield function.__name__.replace("_", " "), function
    for role in ("porter", "smtpd", "auth", "queue", "zygote", "resolver", "relay"):
        for offence, why in (TO_MASTER | (OF_PORTER if role == "porter" else {})).items():
            yield f"{role} to master: {offence}", lambda r=role, o=offence, w=why: to_master(r, o, w)
    for role, peer in (("porter", "auth"), ("smtpd", "queue"), ("queue", "auth"), ("auth", "queue"), ("relay", "queue"), ("relay", "resolver"),
                       ("smtpd", "resolver"), ("queue", "resolver")):
        for offence in TO_PEER + (("replayed",) if (role, peer) in ONCE else ()):
            yield f"{role} to {peer}: {offence}", lambda r=role, p=peer, o=offence: to_peer(r, p, o)
    for target in ("master", "queue"):
        for offence in TO_PEER + (("replayed",) if target == "queue" else ()):
            yield f"mailbox to {target}: {offence}", lambda t=target, o=offence: mailbox_to(t, o)
    yield "queue to relay: replayed", lambda: to_relay("queue", "replayed")
    for offence in TO_PEER:
        yield f"auth to porter: {offence}", lambda o=offence: auth_to_porter(o)
        yield f"queue to mailbox: {offence}", lambda o=offence: queue_to_mailbox(o)
        for role in ("queue", "resolver"):
            yield f"{role} to relay: {offence}", lambda r=role, o=offence: to_relay(r, o)
            yield f"{role} to smtpd: {offence}", lambda r=role, o=offence: to_smtpd(r, o)
    yield from ((function.__name__.replace("_", " "), function) for function in (
        callers_at_the_sockets, session_of_nonsense, sessions_that_nobody_joins, return_of_nonsense, restarts_are_backed_off, a_failing_mailbox_is_left_alone,
        nothing_outlives_master, everybody_comes_back, a_crashed_child_taints_its_zygote))


def begun(pool, function):
    """The function runs already; the result calls for its outcome."""
    return pool.submit(function).result


if __name__ == "__main__":
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    # Each has its own office and mostly waits.
    with concurrent.futures.ThreadPoolExecutor(4) as together:
        e2e.run([(name, begun(together, function)) for name, function in all_tests() if only in name])
