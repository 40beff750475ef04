#!/usr/bin/env python3
"""Real clients: alice submits a mail to bob, bob fetches and deletes it.

Python's smtplib and poplib, curl, swaks, msmtp, mpop, fetchmail and getmail, with and without TLS and with each kind of log-in.
A tool that is not installed is a skip by its name.
"""
import os
import poplib
import shutil
import smtplib
import subprocess
import sys

import e2e
from e2e import check, equal

TOOL_SECONDS = 240  # some look up the name of this host, again and again where no name server answers
BODY = "body of a mail\n.a line with a dot\n..\n"


def tool(name):
    path = shutil.which(name)
    return path or e2e.skip(f"{name} is not installed")


class Tests:
    def __init__(self, instance):
        self.instance = instance
        self.alice, self.bob = f"alice@{e2e.DOMAIN}", f"bob@{e2e.DOMAIN}"
        self.sent = 0
        self.folder = os.path.join(instance.directory, "clients")
        os.makedirs(self.folder, exist_ok=True)

    # ---- what is sent and what comes -----------------------------------------------------------------

    def mail(self):
        self.sent += 1
        return f"From: Alice <{self.alice}>\nTo: {self.bob}\nSubject: number {self.sent}\n\n{BODY}"

    def arrived(self):
        """The mail that was sent last is in bob's maildrop, alone and whole; it is removed."""
        def is_there():
            with self.instance.pop3(self.bob) as client:
                return client.count() > 0
        e2e.until(is_there, "the mail in the maildrop")
        with self.instance.pop3(self.bob) as client:
            mail, = client.all()
            client.ok("DELE 1")
            client.ok("QUIT")
        self.is_the_last(mail)

    def is_the_last(self, mail):
        header, body = mail.replace(b"\r\n", b"\n").decode().split("\n\n", 1)
        check(f"Subject: number {self.sent}\n" in header + "\n", e2e.short(header))
        equal(body.rstrip("\n"), BODY.rstrip("\n"), "the body")

    def waiting(self):
        """Puts a mail into bob's maildrop."""
        self.instance.deliver(self.bob, self.mail())

    def is_empty(self):
        equal(self.instance.mails(self.bob), [], "mails that the client should have deleted")

    def run(self, *words, stdin=""):
        done = subprocess.run(words, input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TOOL_SECONDS, check=False)
        check(done.returncode == 0, f"{' '.join(words)}: status {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}")
        return done.stdout

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)
        return path

    # ---- smtplib and poplib --------------------------------------------------------------------------

    def smtplib_login(self, mechanism, service):
        tls = self.instance.tls()
        if service == "submissions":
            client = smtplib.SMTP_SSL("localhost", self.instance.port(service), context=tls, timeout=e2e.TIMEOUT)
        else:
            client = smtplib.SMTP("localhost", self.instance.port(service), timeout=e2e.TIMEOUT)
        with client:
            client.ehlo()
            if service == "submission" and mechanism != "CRAM-MD5 in clear text":
                client.starttls(context=tls)
                client.ehlo()
            client.user, client.password = self.alice, e2e.PASSWORD
            name = mechanism.split()[0]
            client.auth(name, getattr(client, "auth_" + name.lower().replace("-", "_")), initial_response_ok=name == "PLAIN")
            equal(client.sendmail(self.alice, [self.bob], self.mail()), {}, "recipients that were refused")
            client.noop()
        self.arrived()

    def smtplib_refused(self):
        with smtplib.SMTP("localhost", self.instance.port("submission"), timeout=e2e.TIMEOUT) as client:
            client.starttls(context=self.instance.tls())
            try:
                client.login(self.alice, "wrong")
            except smtplib.SMTPAuthenticationError as refusal:
                equal(refusal.smtp_code, 535, "the code for a wrong password")
            else:
                raise AssertionError("a wrong password was taken")

    def poplib_session(self, service, login):
        self.waiting()
        if service == "pop3s":
            client = poplib.POP3_SSL("localhost", self.instance.port(service), context=self.instance.tls(), timeout=e2e.TIMEOUT)
        else:
            client = poplib.POP3("localhost", self.instance.port("pop3"), timeout=e2e.TIMEOUT)
            if service == "stls":
                client.stls(self.instance.tls())
        check("UIDL" in client.capa(), "CAPA")
        if login == "utf8":
            client.utf8()
        if login == "apop":
            client.apop(self.bob, e2e.PASSWORD)
        else:
            client.user(self.bob)
            client.pass_(e2e.PASSWORD)
        count, octets = client.stat()
        equal(count, 1, "mails")
        equal(int(client.list()[1][0].split()[1]), octets, "octets")
        equal(len(client.uidl()[1]), 1, "ids")
        check(client.top(1, 0)[1][0].startswith(b"Return-Path:"), "TOP")
        self.is_the_last(b"\r\n".join(client.retr(1)[1]) + b"\r\n")
        client.dele(1)
        client.rset()
        client.dele(1)
        client.quit()
        self.is_empty()

    # ---- curl ------------------------------------------------------------------------------------------

    def curl_smtp(self, scheme, mechanism):
        curl = tool("curl")
        options = ["--ssl-reqd"] if scheme == "smtp" else []
        if mechanism:
            options += ["--login-options", f"AUTH={mechanism}"]
        path = self.file("mail", self.mail().replace("\n", "\r\n"))
        port = self.instance.port("submission" if scheme == "smtp" else "submissions")
        self.run(curl, "-sS", *options, "--cacert", self.instance.facts["ca"], f"{scheme}://localhost:{port}/client.test", "--user",
                 f"{self.alice}:{e2e.PASSWORD}", "--mail-from", self.alice, "--mail-rcpt", self.bob, "--upload-file", path)
        self.arrived()

    def curl_pop3(self, scheme, login):
        curl = tool("curl")
        self.waiting()
        options = ["--ssl-reqd"] if scheme == "pop3" else []
        options += ["--login-options", f"AUTH={login}"] if login else []
        port = self.instance.port("pop3" if scheme == "pop3" else "pop3s")
        url = f"{scheme}://localhost:{port}/1"
        common = [curl, "-sS", *options, "--cacert", self.instance.facts["ca"], "--user", f"{self.bob}:{e2e.PASSWORD}"]
        self.is_the_last(self.run(*common, url))
        self.run(*common, url, "--request", "DELE", "--list-only")
        self.is_empty()

    # ---- swaks, msmtp, mpop --------------------------------------------------------------------------

    def swaks(self, mechanism, *options, service="submission"):
        swaks = tool("swaks")
        self.run(swaks, "--server", "localhost", "--port", str(self.instance.port(service)), *options, "--auth", mechanism, "--auth-user",
                 self.alice, "--auth-password", e2e.PASSWORD, "--from", self.alice, "--to", self.bob, "--data", "-", stdin=self.mail())
        self.arrived()

    def swaks_lmtp(self):
        swaks = tool("swaks")
        self.run(swaks, "--protocol", "LMTP", "--server", "localhost", "--port", str(self.instance.port("lmtp")), "--from", self.alice, "--to",
                 self.bob, "--data", "-", stdin=self.mail())
        self.arrived()

    def msmtp(self, service, mechanism):
        msmtp = tool("msmtp")
        starttls = "on" if service == "submission" else "off"
        config = self.file("msmtprc", f"account default\nhost localhost\nport {self.instance.port(service)}\nauth {mechanism}\n"
                           f"user {self.alice}\npassword {e2e.PASSWORD}\nfrom {self.alice}\ntls on\ntls_starttls {starttls}\n"
                           f"tls_trust_file {self.instance.facts['ca']}\n")
        self.run(msmtp, "-C", config, self.bob, stdin=self.mail())
        self.arrived()

    def mpop(self, service, mechanism):
        mpop = tool("mpop")
        self.waiting()
        mbox, seen = os.path.join(self.folder, f"mbox-{service}-{mechanism}"), os.path.join(self.folder, f"seen-{service}-{mechanism}")
        starttls = "on" if service == "pop3" else "off"
        config = self.file("mpoprc", f"account default\nhost localhost\nport {self.instance.port(service)}\nauth {mechanism}\nuser {self.bob}\n"
                           f"password {e2e.PASSWORD}\ntls on\ntls_starttls {starttls}\ntls_trust_file {self.instance.facts['ca']}\n"
                           f"delivery mbox {mbox}\nuidls_file {seen}\nkeep off\n")
        self.run(mpop, "-C", config, "-q")
        with open(mbox, "rb") as file:
            text = file.read()
        self.is_the_last(text[text.index(b"\n") + 1:].replace(b"\n>From", b"\nFrom"))
        self.is_empty()

    # ---- fetchmail, getmail: they remember by UIDL what they have -----------------------------------------------

    def fetchmail(self, protocol, service):
        fetchmail = tool("fetchmail")
        self.waiting()
        got, name = os.path.join(self.folder, f"fetched-{protocol}-{service}"), f"fetchmailrc-{protocol}-{service}"
        tls = "sslproto ''" if protocol == "APOP" else f"sslproto 'TLS1.2+' sslcertck sslcertfile {self.instance.facts['ca']}"
        for keep, status in (("keep", 0), ("keep", 1), ("nokeep fetchall", 0)):  # 1: nothing is new
            config = self.file(name, f"poll localhost protocol {protocol} port {self.instance.port(service)} uidl no dns user {self.bob} "
                               f"password {e2e.PASSWORD} {'ssl' if service == 'pop3s' else ''} {tls} {keep} mda 'cat > {got}'\n")
            done = subprocess.run([fetchmail, "--nosyslog", "-f", config, "-i", got + "-ids", "--pidfile", got + "-pid"], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=TOOL_SECONDS, check=False)
            equal(done.returncode, status, f"fetchmail, {keep}: {done.stdout.decode()}")
            if status == 0:
                with open(got, "rb") as file:
                    self.is_the_last(file.read())
                os.unlink(got)
        self.is_empty()

    def getmail(self, service):
        getmail = tool("getmail")
        self.waiting()
        directory = os.path.join(self.folder, f"getmail-{service}")
        for name in ("", "cur", "new", "tmp"):
            os.makedirs(os.path.join(directory, name))
            if os.getuid() == 0:  # it delivers as anybody but root
                shutil.chown(os.path.join(directory, name), "nobody", "nogroup")
        retriever = "SimplePOP3SSLRetriever" if service == "pop3s" else "SimplePOP3Retriever"
        trust = f"ca_certs = {self.instance.facts['ca']}\n" if service == "pop3s" else ""
        for delete, messages in (("false", 1), ("false", 0), ("true", 0)):
            config = self.file(f"getmailrc-{service}", f"[retriever]\ntype = {retriever}\nserver = localhost\nport = {self.instance.port(service)}\n"
                               f"username = {self.bob}\npassword = {e2e.PASSWORD}\n{trust}[destination]\ntype = Maildir\npath = {directory}/\n"
                               f"{'user = nobody' if os.getuid() == 0 else ''}\n[options]\nread_all = false\ndelete = {delete}\n")
            text = self.run(getmail, "--getmaildir", self.folder, "--rcfile", config).decode()
            check(f"{messages} messages" in text, text)
        new, = os.listdir(os.path.join(directory, "new"))
        with open(os.path.join(directory, "new", new), "rb") as file:
            self.is_the_last(file.read())
        self.is_empty()


def curl_knows(mechanism):
    """The SCRAM mechanisms are there only with libgsasl."""
    if mechanism and mechanism.startswith("SCRAM") and shutil.which("curl"):
        text = subprocess.run(["curl", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        if "gsasl" not in text:
            e2e.skip("this curl has no libgsasl")


def cases(t):
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
        for service in ("submission", "submissions"):
            yield f"smtplib, {service}, {mechanism}", lambda m=mechanism, s=service: t.smtplib_login(m, s)
    yield "smtplib, CRAM-MD5 in clear text", lambda: t.smtplib_login("CRAM-MD5 in clear text", "submission")
    yield "smtplib, wrong password", t.smtplib_refused
    for service in ("pop3", "stls", "pop3s"):
        for login in ("user", "apop", "utf8"):
            yield f"poplib, {service}, {login}", lambda s=service, l=login: t.poplib_session(s, l)
    for scheme in ("smtp", "smtps"):
        for mechanism in (None, "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"):
            yield f"curl, {scheme}, {mechanism or 'any'}", lambda s=scheme, m=mechanism: (curl_knows(m), t.curl_smtp(s, m))
    for scheme in ("pop3", "pop3s"):
        for login in (None, "+APOP", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"):
            yield f"curl, {scheme}, {login or 'any'}", lambda s=scheme, l=login: (curl_knows(l), t.curl_pop3(s, l))
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
        yield f"swaks, STARTTLS, {mechanism}", lambda m=mechanism: t.swaks(m, "--tls")
    yield "swaks, TLS from the first octet", lambda: t.swaks("PLAIN", "--tls-on-connect", service="submissions")
    yield "swaks, pipelined", lambda: t.swaks("PLAIN", "--pipeline", "--tls")
    yield "swaks, LMTP", t.swaks_lmtp
    for mechanism in ("plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "on"):
        yield f"msmtp, submission, {mechanism}", lambda m=mechanism: t.msmtp("submission", m)
    yield "msmtp, submissions", lambda: t.msmtp("submissions", "plain")
    for mechanism in ("user", "apop", "plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "on"):
        yield f"mpop, pop3, {mechanism}", lambda m=mechanism: t.mpop("pop3", m)
    yield "mpop, pop3s", lambda: t.mpop("pop3s", "user")
    for protocol, service in (("POP3", "pop3"), ("POP3", "pop3s"), ("APOP", "pop3")):
        yield f"fetchmail, {service}, {protocol}", lambda p=protocol, s=service: t.fetchmail(p, s)
    for service in ("pop3", "pop3s"):
        yield f"getmail, {service}", lambda s=service: t.getmail(s)


def main():
    with e2e.Instance(accounts=("alice", "bob")) as instance:
        wanted = sys.argv[1:]
        e2e.run([case for case in cases(Tests(instance)) if not wanted or any(w in case[0] for w in wanted)])


if __name__ == "__main__":
    main()
