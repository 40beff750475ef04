#!/usr/bin/env python3
"""kill -9 of each program under load: no acknowledged mail is lost, and only one whose answer was lost may come twice.

Several clients deliver by LMTP without pause while programs are killed. Each mail has a number of its own and its
client notes what it was told: accepted, refused for now, or nothing because the connection ended.
"""
import json
import os
import random
import signal
import sys
import threading
import time

import e2e
from e2e import check, equal

ACCOUNTS = 4
CLIENTS = 4
KILLS = 15 if e2e.LONG else 6
AHEAD = 200  # mails that the clients deliver while nobody waits for them
SENDER = "sender@elsewhere.test"
ACCEPTED, REFUSED, UNKNOWN = "accepted", "refused for now", "no answer"


class Load:
    """Clients that deliver numbered mails until they are told to stop."""

    def __init__(self, instance):
        self.instance = instance
        self.users = [instance.fresh_user() for _ in range(ACCOUNTS)]
        self.told = {}
        self.lock = threading.Lock()
        self.ends = threading.Event()
        self.number = 0
        self.allowed = threading.Semaphore(AHEAD)
        self.refusals = set()
        self.threads = [threading.Thread(target=self.deliver_on) for _ in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.allowed.release(CLIENTS)
        for thread in self.threads:
            thread.join()

    def next_number(self):
        with self.lock:
            self.number += 1
            return self.number

    def accepted(self):
        with self.lock:
            return sum(told == ACCEPTED for told in self.told.values())

    def more_accepted(self, count=20):
        """Waits until mail flows again."""
        goal = self.accepted() + count
        self.allowed.release(count)
        e2e.until(lambda: self.accepted() >= goal, f"{count} more mails accepted; refusals: {self.refusals}")

    def deliver_on(self):
        """One connection after another; each ends when something goes wrong."""
        while not self.ends.is_set():
            try:
                with self.instance.smtp("lmtp") as client:
                    for _ in range(200):
                        if self.ends.is_set():
                            return
                        if not self.deliver_one(client):
                            break
            except (OSError, AssertionError):
                self.ends.wait(0.01)  # nobody listens for a moment

    def deliver_one(self, client):
        self.allowed.acquire()
        if self.ends.is_set():
            return False
        number = self.next_number()
        user = self.users[number % ACCOUNTS]
        sent = False
        try:
            client.envelope(SENDER, [user])
            client.say("DATA", "354")
            with self.lock:
                self.told[number] = UNKNOWN
            sent = True
            client.send(e2e.stuffed(mail_of(number)))
            reply = client.expect("")
        except (OSError, AssertionError) as failure:
            if not sent:
                self.allowed.release()  # that was no mail
                self.refusals.add(str(failure))
            return False
        with self.lock:
            self.told[number] = ACCEPTED if reply.startswith("250") else REFUSED
        if not reply.startswith("250"):
            check(reply.startswith("4"), reply)
            self.refusals.add(reply)
            self.allowed.release()
        return True

    def verify(self, before=None):
        """Every account has what was accepted, once, and nothing else but what had no answer."""
        seen = {}
        for user in self.users:
            with self.instance.pop3(user) as client:
                for mail in client.all():
                    body = e2e.body_of(mail)
                    number = int(body.split(b"\r\n", 1)[0].split()[1])
                    equal(body, mail_of(number), f"mail {number}")
                    equal(self.users[number % ACCOUNTS], user, f"the account of mail {number}")
                    seen[number] = seen.get(number, 0) + 1
        lost = [n for n, told in self.told.items() if told == ACCEPTED and n not in seen]
        check(not lost, f"{len(lost)} of {self.accepted()} accepted mails are lost: {lost[:20]}")
        double = [n for n, count in seen.items() if count > 1]
        check(not double, f"mails that came twice: {double[:20]}")
        surprising = [n for n in seen if self.told.get(n) not in (ACCEPTED, UNKNOWN)]
        check(not surprising, f"mails that were refused and came nevertheless: {surprising[:20]}")

    def settle(self):
        """Every account's process has what the journal holds for it: those with mail that was accepted are asked."""
        wanted = {n for n, told in self.told.items() if told == ACCEPTED}

        def all_there():
            count = 0
            try:
                for user in self.users:
                    with self.instance.pop3(user) as client:
                        count += client.count()
            except (OSError, AssertionError):
                return False  # a program is on its way back
            return count >= len(wanted)
        e2e.until(all_there, f"{len(wanted)} mails in the accounts", 60)


def mail_of(number):
    return f"Number: {number}\r\n\r\n".encode() + f"mail {number} ".encode() * (number % 200 + 1) + b"\r\n"


class Tests:
    def __init__(self, instance):
        self.instance = instance
        self.random = random.Random(20250101)

    def one(self, program, kind=None):
        """The process id of one of them, when there is one."""
        found = []

        def running():
            found[:] = self.instance.pids(program, kind)
            return bool(found)
        e2e.until(running, f"a running {program}")
        return self.random.choice(found)

    def kill_under_load(self, program, kind=None):
        # a kill ends delivery of the mails that are on their way, so the accounts' processes replay them
        with Load(self.instance) as load:
            load.more_accepted()
            for _ in range(KILLS):
                pid = self.one(program, kind)
                # The moment is random, not waited for: that is the test.
                time.sleep(self.random.random() * 0.05)
                e2e.kill(pid)
                e2e.until(lambda: not e2e.is_alive(pid), f"the end of {program} {pid}")
                e2e.until(lambda: pid not in self.instance.pids(program, kind), f"master's knowledge of the end of {program}")
                load.more_accepted(5)
        load.settle()
        load.verify()
        check(load.accepted() > 20 + 5 * KILLS, f"only {load.accepted()} mails")

    def master(self):
        """A new master never meets an old process, and finds every mail."""
        with Load(self.instance) as load:
            load.more_accepted()
            for _ in range(KILLS // 2):
                load.more_accepted(10)
                time.sleep(self.random.random() * 0.1)
                self.start_again()
        load.settle()
        load.verify()
        uids = self.uids(load)
        self.start_again()
        equal(self.uids(load), uids, "the UIDLs after another kill of master")
        load.verify()

    def uids(self, load):
        found = []
        for user in load.users:
            with self.instance.pop3(user) as client:
                found.append(client.uids())
        return found

    def everything(self):
        """All programs at once and at any moment, sessions of POP3 too."""
        programs = ("porter", "auth", "smtpd", "queue", "mailbox", "zygote")
        with Load(self.instance) as load:
            load.more_accepted()
            for _ in range(KILLS):
                victims = [p for p in self.instance.processes() if p["program"] in programs]
                for victim in self.random.sample(victims, 3):
                    e2e.kill(int(victim["pid"]))
                load.more_accepted(5)
        load.settle()
        load.verify()

    def hung_account(self):
        """SIGSTOP of one account's process delays nobody else; its mail waits for it."""
        victim, other = self.instance.fresh_user(), self.instance.fresh_user()
        for user in (victim, other):
            self.instance.deliver(user, "Subject: first\n\n")
        for after in (signal.SIGCONT, signal.SIGKILL):
            pid = self.process_of(victim)
            count = len(self.instance.mails(victim))
            os.kill(pid, signal.SIGSTOP)
            try:
                queued = [self.send(victim) for _ in range(10)]
                for i in range(50):
                    self.instance.deliver(other, f"Subject: {i}\n\n")
                equal([n for n in queued if self.instance.delivered[n]], [], "mails that a stopped process took")
            finally:
                os.kill(pid, after)
            self.instance.wait_all_delivered({n: 1 for n in queued}, 60)
            equal(len(self.instance.mails(victim)), count + 10, "mails of the account that hung")
        equal(len(self.instance.mails(other)), 101, "mails of the other account")

    def mail_on_its_way(self):
        """Mails that were accepted while their account's process was stopped, and then queue or everything is killed."""
        user = self.instance.fresh_user()
        self.instance.deliver(user, "Subject: first\n\n")
        bodies = [b"Subject: first\r\n\r\n"]
        for program in ("queue", "master", "queue"):
            stopped = self.process_of(user)
            os.kill(stopped, signal.SIGSTOP)
            try:
                for i in range(10):
                    bodies.append(f"Subject: {program} {i}\r\n\r\n".encode())
                    self.send(user, bodies[-1])
                equal(self.waiting(), 10, "mails that wait")
                if program == "queue":
                    e2e.kill(self.one("queue"))
                else:
                    self.start_again()
            finally:
                e2e.kill(stopped, signal.SIGCONT)
            e2e.until(lambda: self.waiting() == 0, "an empty queue")
            equal(sorted(e2e.body_of(m) for m in self.instance.mails(user)), sorted(bodies), f"mails after the kill of {program}")

    def lost_account(self):
        """The journal has mail for an account whose folder a power loss took: the first session begins when the mail is
        there. The queue is held, so that nothing but that wait brings it."""
        user = self.instance.fresh_user()
        self.instance.ctl("queue", "hold")
        try:
            for i in range(3):
                self.send(user, f"Subject: {i}\r\n\r\n".encode())
            self.start_again()
            equal(len(self.instance.mails(user)), 3, "mails that the first session sees")
        finally:
            self.instance.ctl("queue", "release")

    def waiting(self):
        """How many mails the queue holds; a queue that is not there yet holds some."""
        listed = self.instance.ctl("--json", "queue", "list", check=False)
        return len(json.loads(listed.stdout)) if listed.returncode == 0 else -1

    def start_again(self):
        session = self.instance.master()
        e2e.kill(session)
        e2e.until(lambda: not e2e.session_members(session), "the end of all programs")
        self.instance.start()

    def send(self, user, mail=b"Subject: waits\r\n\r\n"):
        with self.instance.smtp("lmtp") as client:
            return e2e.QUEUED.search(client.transact(SENDER, [user], mail)).group(1)

    def process_of(self, user):
        """The process id of an account's mailbox, which a session brings to life."""
        number = next(a["number"] for a in self.accounts() if a["address"] == user)
        with self.instance.pop3(user):
            return next(int(p["pid"]) for p in self.instance.processes() if p["program"] == "mailbox" and p["account"] == number)

    def accounts(self):
        return json.loads(self.instance.ctl("--json", "account", "list").stdout)

    def session_survives(self):
        """A POP3 session in the clear has left porter, so the death of porter, auth and queue is nothing to it."""
        user = self.instance.fresh_user()
        self.instance.deliver(user, "Subject: x\n\n")
        with self.instance.pop3(user) as client:
            for program in ("porter", "auth", "queue", "smtpd"):
                for pid in self.instance.pids(program):
                    e2e.kill(pid)
            client.ok("RETR 1")
            client.block()
            client.ok("DELE 1")
            client.ok("QUIT")
        e2e.until(lambda: self.answers(user), "log-in after the kill")
        equal(self.instance.mails(user), [], "mails")

    def sessions_of(self, user):
        listed = self.instance.ctl("--json", "sessions", check=False)
        rows = json.loads(listed.stdout) if listed.returncode == 0 else []
        return {row["service"]: row["session"] for row in rows if row["account"] == user}

    def kill_auth(self):
        old = self.one("auth")
        e2e.kill(old)
        e2e.until(lambda: self.instance.pids("auth") not in ([], [old]), "another auth")

    def sessions_are_known_again(self):
        """A new auth knows who has a session, lists it, and can end it; also those of porters that drain, through which others still log in."""
        user, late = self.instance.fresh_user(), self.instance.fresh_user()
        with self.instance.pop3(user) as clear, self.instance.connect("imaps") as secure, self.instance.connect("pop3") as begun:
            secure.start_tls(self.instance.tls())
            secure.line()
            check(secure.ask(f"a LOGIN {user} {e2e.PASSWORD}").startswith("a OK"), "log-in by IMAP")
            begun.line()
            known = self.sessions_of(user)
            equal(set(known), {"pop3", "imaps"}, "sessions before")
            for act in (lambda: None, lambda: self.instance.ctl("reload")):
                act()
                self.kill_auth()
                e2e.until(lambda: self.sessions_of(user) == known, f"the sessions are listed as {known}")
            check(begun.ask(f"USER {late}").startswith("+OK") and begun.ask(f"PASS {e2e.PASSWORD}").startswith("+OK"), "log-in through a porter that drains")
            self.instance.ctl("session", "drop", known["imaps"])
            secure.rest()
            e2e.until(lambda: set(self.sessions_of(user)) == {"pop3"}, "the end of the one alone")
            clear.ok("NOOP")
            self.instance.ctl("account", "disable", user)
            clear.rest()
            e2e.until(lambda: not self.sessions_of(user), "the end of the other")

    def submissions_are_known_again(self):
        """A new auth takes the right to submit from who lost it: whether porter or smtpd has the session, and at once. Who has it goes on."""
        users = [self.instance.fresh_user() for _ in range(3)]
        sessions = {user: (self.instance.smtp("submission", user=user), self.instance.smtp("submissions", user=user)) for user in users}
        try:
            for user, (_, inside) in sessions.items():
                inside.envelope(user, [users[0]])  # from here on an smtpd has it
            known = {user: self.sessions_of(user) for user in users}
            self.kill_auth()
            self.lose_right(sessions, users[1])
            self.instance.ctl("reload")
            for user in (users[0], users[2]):
                e2e.until(lambda: self.sessions_of(user) == known[user], f"the sessions of {user} are listed as {known[user]}")
            self.kill_auth()
            e2e.until(lambda: self.sessions_of(users[0]) == known[users[0]], f"the sessions are listed as {known[users[0]]}")
            self.lose_right(sessions, users[2])
            for client in sessions[users[0]]:
                client.say("RSET", "250")
                client.transact(users[0], [users[0]], b"Subject: still\r\n\r\n")
        finally:
            for client in sum(sessions.values(), ()):
                client.close()

    def lose_right(self, sessions, user):
        self.instance.ctl("account", "disable", user)
        for client in sessions[user]:
            client.rest()
        e2e.until(lambda: not self.sessions_of(user), f"the end of {user}'s sessions")

    def answers(self, user):
        try:
            with self.instance.pop3(user) as client:
                client.ok("QUIT")
            return True
        except (OSError, AssertionError):
            return False


def main():
    with e2e.Instance("--set", "mailbox_linger_seconds=2", accounts=(f"user%d:{12 * ACCOUNTS}",)) as instance:
        tests = Tests(instance)
        kills = [("porter", "world"), ("porter", "users"), ("auth", None), ("smtpd", "world"), ("queue", None), ("mailbox", None), ("zygote", None)]
        named = [(f"kill -9 of {program} {kind or ''}".strip(), lambda p=program, k=kind: tests.kill_under_load(p, k)) for program, kind in kills]
        named += [("kill -9 of master", tests.master), ("kill -9 of three at a time", tests.everything),
                  ("a stopped account", tests.hung_account), ("mail on its way", tests.mail_on_its_way),
                  ("a lost account", tests.lost_account),
                  ("sessions survive", tests.session_survives), ("sessions are known again", tests.sessions_are_known_again),
                  ("submissions are known again", tests.submissions_are_known_again)]
        if not e2e.LONG:
            named.append(("15 kills of each program", lambda: e2e.long_only(f"15 kills of each program instead of {KILLS}")))
        wanted = sys.argv[1:]
        e2e.run([t for t in named if not wanted or any(w in t[0] for w in wanted)])


if __name__ == "__main__":
    main()
