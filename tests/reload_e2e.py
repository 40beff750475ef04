#!/usr/bin/env python3
"""Reading configuration and certificates again: open sessions go on, new ones see what is new, what is wrong is refused."""
import os
import signal
import subprocess
import sys
import threading

import e2e
from e2e import check, equal

SENDER = "sender@elsewhere.test"


class Tests:
    def __init__(self, instance):
        self.instance = instance
        self.config = os.path.join(instance.directory, "posthorn.conf")
        self.tls = os.path.join(instance.directory, "tls")
        with open(self.config, encoding="utf-8") as file:
            self.text = file.read()

    # ---- certificates and configuration -----------------------------------------------------------------

    def certificate(self, name, *hosts, days=30):
        """A new key, and a certificate of the instance's authority; returns its section of the configuration."""
        path = os.path.join(self.tls, name)
        with open(path + ".ext", "w", encoding="ascii") as file:
            file.write("subjectAltName=" + ",".join(f"DNS:{h}" for h in hosts))
        for words in (("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={hosts[0]}",
                       "-keyout", path + ".key", "-out", path + ".csr"),
                      ("x509", "-req", "-in", path + ".csr", "-CA", os.path.join(self.tls, "ca.pem"), "-CAkey",
                       os.path.join(self.tls, "ca.key"), "-CAcreateserial", "-days", str(days), "-extfile", path + ".ext", "-out", path + ".pem")):
            subprocess.run(("openssl", *words), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self.section(name, path + ".pem", path + ".key")

    def section(self, name, chain, key):
        return f'certificate "{name}" {{\n\tchain = "{chain}"\n\tkey = "{key}"\n}}\n'

    def write(self, *sections, settings=()):
        """The configuration with these certificates instead of its own, and with other values of some keys."""
        lines, inside = [], False
        for line in self.text.splitlines():
            inside = inside or line.startswith("certificate ")
            if not (inside and sections) and line.split(" = ")[0].lstrip("#") not in dict(settings):
                lines.append(line)
            inside = inside and line != "}"
        lines += [f"{key} = {value}" for key, value in settings]
        with open(self.config + ".new", "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n" + "".join(sections))
        os.rename(self.config + ".new", self.config)

    def restore(self):
        self.write()
        self.instance.ctl("reload")

    def seen(self, service, name):
        """The names in the certificate that a client sees which asks for a name, and its serial number."""
        context = self.instance.tls()
        context.check_hostname = False
        with self.instance.connect(service) as client:
            client.start_tls(context, name)
            facts = client.connection.getpeercert()
        return {value for kind, value in facts["subjectAltName"] if kind == "DNS"}, facts["serialNumber"]

    # ---- tests -------------------------------------------------------------------------------------

    def new_certificates(self):
        user = self.instance.fresh_user()
        self.instance.deliver(user, "Subject: x\n\nbody\n")
        old = self.seen("pop3s", "localhost")
        pop3 = self.instance.pop3(user, "pop3s")
        before_login = e2e.Pop3(self.instance.connect("pop3s").connection)
        before_login.start_tls(self.instance.tls())
        submission = self.instance.smtp("submission", user=user)
        submission.envelope(user, [user])
        smtp = self.instance.smtp("smtp")
        self.write(self.certificate("fresh", "localhost", "mail.example.test"), self.certificate("other", "other.test", "*.wild.test"))
        self.instance.ctl("reload")
        for service in ("pop3s", "submissions"):
            fresh = self.seen(service, "localhost")
            check(fresh[1] != old[1], f"{service} shows the old certificate")
            equal(self.seen(service, "other.test")[0], {"other.test", "*.wild.test"}, "the certificate for other.test")
            equal(self.seen(service, "OTHER.test")[0], {"other.test", "*.wild.test"}, "the certificate for OTHER.test")
            equal(self.seen(service, "a.wild.test")[0], {"other.test", "*.wild.test"}, "the certificate for a.wild.test")
            equal(self.seen(service, "unknown.test"), fresh, "the certificate for a name that has none")
        client = self.instance.smtp("smtp")
        client.say("STARTTLS", "220")
        client.start_tls(self.instance.tls(), "other.test")
        check("other.test" in str(client.connection.getpeercert()["subject"]), "the certificate on port 25")
        client.close()
        # what was open before goes on
        equal(e2e.body_of(pop3.retr(1)), b"Subject: x\r\n\r\nbody\r\n", "the mail")
        pop3.ok("DELE 1")
        pop3.ok("QUIT")
        before_login.ok(None)
        before_login.ok(f"USER {user}")
        before_login.ok(f"PASS {e2e.PASSWORD}")
        before_login.ok("QUIT")
        reply, = submission.data(f"From: <{user}>\r\n\r\n".encode())
        self.instance.wait_delivered(reply)
        submission.transact(user, [user], f"From: <{user}>\r\n\r\n".encode())
        smtp.say("STARTTLS", "220")
        smtp.start_tls(self.instance.tls())
        equal(smtp.connection.getpeercert()["serialNumber"], old[1], "the certificate that a session from before the reload shows")
        smtp.say("EHLO client.test", "250")
        self.instance.wait_delivered(smtp.transact(SENDER, [user], b"Subject: y\r\n\r\n"))
        for client in (pop3, before_login, submission, smtp):
            client.close()
        self.restore()

    def old_programs_end(self):
        """The porters and smtpds of before are gone when their sessions are."""
        held = self.instance.smtp("smtp")
        before = {pid for program in ("porter", "smtpd") for pid in self.instance.pids(program)}
        os.kill(self.instance.master(), signal.SIGHUP)
        e2e.until(lambda: len(before & set(self.instance.children())) <= 2, "the end of programs without sessions")
        held.say("NOOP", "250")
        held.close()
        e2e.until(lambda: not before & set(self.instance.children()), "the end of all old programs")

    def new_settings(self):
        user = self.instance.fresh_user()
        old = self.instance.smtp("smtp")
        self.write(settings=(("message_size_max", 1000000), ("pop3_login_delay_seconds", 3600)))
        os.kill(self.instance.master(), signal.SIGHUP)

        def is_new():
            with self.instance.smtp("smtp") as client:
                return "SIZE 1000000" in client.say("EHLO again.test", "250")
        e2e.until(is_new, "the new size")
        check("SIZE 52428800" in old.say("EHLO again.test", "250"), "the size in an old session")
        old.close()
        with self.instance.pop3(user) as client:
            client.ok("CAPA")
            check("LOGIN-DELAY 3600" in client.listing(), "LOGIN-DELAY in CAPA")
            client.ok("QUIT")
        with e2e.Pop3(self.instance.connect("pop3").connection) as client:
            client.ok(None)
            client.ok(f"USER {user}")
            client.err(f"PASS {e2e.PASSWORD}", "[LOGIN-DELAY]")
        self.restore()

    def refused_configurations(self):
        old = self.seen("pop3s", "localhost")
        good = self.certificate("good", "localhost")
        bad_key = self.section("bad", os.path.join(self.tls, "good.pem"), os.path.join(self.tls, "ca.key"))
        with open(os.path.join(self.tls, "rubbish.pem"), "w", encoding="ascii") as file:
            file.write("rubbish\n")
        rubbish = self.section("bad", os.path.join(self.tls, "rubbish.pem"), os.path.join(self.tls, "good.key"))
        missing = self.section("bad", "/nonexistent/chain.pem", "/nonexistent/key.pem")
        wrong = ((dict(sections=(good,), settings=(("colour", "blue"),)), "colour"), (dict(sections=(good,), settings=(("recipients_max", "-1"),)), "recipients_max"),
                 (dict(sections=(missing,)), "nonexistent"), (dict(sections=(rubbish,)), "rubbish.pem"), (dict(sections=(good, bad_key)), "ca.key"))
        processes = {pid for program in ("porter", "smtpd") for pid in self.instance.pids(program)}
        for number, (what, word) in enumerate(wrong):
            self.write(*what["sections"], settings=what.get("settings", ()))
            answer = self.instance.ctl("reload", check=False)
            check(answer.returncode != 0, f"configuration {number} was taken")
            check(word in answer.stderr, f"configuration {number}: {answer.stderr}")
            checked = self.instance.ctl("check-config", check=False)
            equal((checked.returncode != 0, checked.stderr), (True, answer.stderr), f"what check-config says of configuration {number}")
            equal(self.seen("pop3s", "localhost"), old, f"the certificate after configuration {number}")
            equal({pid for program in ("porter", "smtpd") for pid in self.instance.pids(program)}, processes, "porters and smtpds")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write('hostname = "mail.example.test"\n# a comment\nrecipients_max = "unfinished\n')
        for command in ("check-config", "reload"):
            told = self.instance.ctl(command, check=False).stderr
            check("posthorn.conf:3: the closing quotation mark is missing" in told, f"{command} names line and reason: {told}")
        self.restore()

    def expired_certificates(self):
        """Told before they are used, and no mistake of the configuration."""
        self.write(self.certificate("good", "localhost"), self.certificate("old", "old.test", days=-1))
        checked = self.instance.ctl("check-config")
        equal(checked.stderr, f'posthornctl: warning: certificate "old": {os.path.join(self.tls, "old.pem")} has expired\n', "the warning")
        check("is right" in checked.stdout, checked.stdout)
        self.restore()

    def reloads_under_load(self):
        """Nobody is turned away while programs change."""
        user = self.instance.fresh_user()
        ends, problems, done = threading.Event(), [], []

        def work():
            while not ends.is_set():
                try:
                    with self.instance.smtp("lmtp") as client:
                        done.append(e2e.QUEUED.search(client.transact(SENDER, [user], b"Subject: x\r\n\r\n")).group(1))
                        client.say("QUIT", "221")
                except (OSError, AssertionError) as failure:
                    problems.append(repr(failure))
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                goal = len(done) + 10
                self.instance.ctl("reload")
                e2e.until(lambda: len(done) >= goal or problems, "mails after a reload")
        finally:
            ends.set()
            for thread in threads:
                thread.join()
        check(not problems, f"{len(problems)} problems: {problems[:3]}")
        self.instance.wait_all_delivered({name: 1 for name in done})
        equal(len(self.instance.mails(user)), len(done), "mails")


def main():
    with e2e.Instance(accounts=("user%d:10",)) as instance:
        tests = Tests(instance)
        names = ("new_certificates", "old_programs_end", "new_settings", "refused_configurations", "expired_certificates", "reloads_under_load")
        wanted = sys.argv[1:]
        e2e.run([(n.replace("_", " "), getattr(tests, n)) for n in names if not wanted or n.replace("_", " ") in wanted])


if __name__ == "__main__":
    main()
