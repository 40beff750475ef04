#!/usr/bin/env python3
"""tools/instance, posthornctl, sendmail and mailq as people and tests use them, against a whole post office."""
import json
import os
import pathlib
import poplib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import e2e
from e2e import check, equal, skip

INSTANCE = os.path.join(e2e.ROOT, "tools", "instance")
KEYS = ["smtp", "submission", "submissions", "lmtp", "pop3", "pop3s", "imap", "imaps", "ca", "ctl"]
GREETINGS = {"smtp": b"220 ", "submission": b"220 ", "submissions": b"220 ", "lmtp": b"220 ", "pop3": b"+OK", "pop3s": b"+OK", "imap": b"* OK",
             "imaps": b"* OK"}


def call(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


def keys_of(output):
    return [line.split("=", 1)[0] for line in output.splitlines()]


def cgroup(pid):
    return pathlib.Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii")


def wait_until(condition, what):
    deadline = time.monotonic() + e2e.TIMEOUT
    while not condition():
        check(time.monotonic() < deadline, what)
        time.sleep(0.02)


class Tests:
    def __init__(self, folder):
        self.folder = folder
        self.directory = os.path.join(folder, "office")
        self.environment = dict(os.environ, POSTHORN_DIR=self.directory)

    def start(self, *more):
        return call(INSTANCE, "start", self.directory, "--accounts", "user%d:3", "--accounts", "alice",
                    "--set", "trusted_networks=", "--domain", e2e.DOMAIN, *more)

    def started(self, *more):
        result = self.start(*more)
        equal(result.returncode, 0, f"status of start ({result.stderr})")
        return result.stdout, dict(line.split("=", 1) for line in result.stdout.splitlines())

    def master(self):
        return int(pathlib.Path(self.directory, "pid").read_text(encoding="ascii").split()[0])

    def ctl(self, *words, **options):
        return call(self.facts["ctl"], *words, env=self.environment, **options)

    def rows(self, *words):
        result = self.ctl("--json", *words)
        equal(result.returncode, 0, f"status of {words} ({result.stderr})")
        return json.loads(result.stdout)

    def program(self, name):
        return os.path.join(os.path.dirname(self.facts["ctl"]), name)

    def mails(self, user):
        server = poplib.POP3("127.0.0.1", int(self.facts["pop3"]), timeout=e2e.TIMEOUT)
        server.user(user)
        server.pass_(e2e.PASSWORD)
        mails = [b"\n".join(server.retr(number)[1]).decode() for number in range(1, server.stat()[0] + 1)]
        server.quit()
        return mails

    # ---- tools/instance -------------------------------------------------------------------------------

    def prints_what_it_promises(self):
        output, self.facts = self.started()
        equal(keys_of(output), KEYS, "keys on standard output")
        for service in GREETINGS:
            check(1 <= int(self.facts[service]) <= 65535, f"port of {service}")
        check(os.access(self.facts["ctl"], os.X_OK), "ctl is a program")

    def greet(self, service, host, name):
        with socket.create_connection((host, int(self.facts[service])), timeout=e2e.TIMEOUT) as connection:
            if service.endswith("s"):
                trust = ssl.create_default_context(cafile=self.facts["ca"])
                connection = trust.wrap_socket(connection, server_hostname=name)
            greeting = connection.recv(1000)
        check(greeting.startswith(GREETINGS[service]), f"{service} on {host} says {greeting!r}")

    def all_ports_answer(self):
        for service in GREETINGS:
            self.greet(service, "127.0.0.1", "localhost")
            self.greet(service, "127.0.0.1", "127.0.0.1")

    def ipv6_answers_too(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            skip("no IPv6 here")
        for service in GREETINGS:
            self.greet(service, "::1", "::1")

    def makes_the_accounts(self):
        equal(sorted(row["address"] for row in self.rows("account", "list")),
              sorted(f"{name}@{e2e.DOMAIN}" for name in ("user0", "user1", "user2", "alice")), "accounts")
        for name in ("user0", "user2", "alice"):
            equal(self.mails(f"{name}@{e2e.DOMAIN}"), [], f"mails of {name}")

    def challenge_mechanisms_work(self):
        server = poplib.POP3("127.0.0.1", int(self.facts["pop3"]), timeout=e2e.TIMEOUT)
        check(server.apop(f"user1@{e2e.DOMAIN}", e2e.PASSWORD).startswith(b"+OK"), "APOP")
        server.quit()

    def start_again_changes_nothing(self):
        master = self.master()
        output, facts = self.started()
        equal(facts, self.facts, "what the second start prints")
        equal(self.master(), master, "master")

    def start_again_adds_accounts(self):
        self.started("--accounts", "late%d:2")
        addresses = [row["address"] for row in self.rows("account", "list")]
        check(f"late1@{e2e.DOMAIN}" in addresses, f"late1 among {addresses}")

    def stays_in_the_cgroup(self):
        for pid in e2e.session_members(self.master()):
            equal(cgroup(pid), cgroup("self"), f"cgroup of {pid}")

    def wrong_settings_are_told(self):
        with tempfile.TemporaryDirectory(dir=self.folder) as other:
            os.chmod(other, 0o755)
            for setting, said in (("no_such_key=1", "no_such_key"), ("porter_workers=many", "porter_workers")):
                result = call(INSTANCE, "start", other, "--set", setting)
                equal(result.returncode, 1, "status")
                equal(result.stdout, "", "standard output")
                check(said in result.stderr, result.stderr)

    def settings_move_services_and_turn_them_off(self):
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
            port, everywhere = one.getsockname()[1], two.getsockname()[1]
        with tempfile.TemporaryDirectory(dir=self.folder) as other:
            os.chmod(other, 0o755)
            result = call(INSTANCE, "start", other, "--set", f"listen_smtp=127.0.0.1:{port}", "--set", "listen_pop3s=", "--set", f"listen_imap=*:{everywhere}",
                          "--set", "listen_imaps=", "--set", "journal_size=16777216")
            equal(call(INSTANCE, "stop", other).returncode, 0, "stop")
            equal(result.returncode, 0, f"status ({result.stderr})")
            equal(keys_of(result.stdout), [key for key in KEYS if key not in ("pop3s", "imaps")], "keys")
            equal(result.stdout.splitlines()[0], f"smtp={port}", "port of smtp")
            check(f"imap={everywhere}\n" in result.stdout, "port of imap, which listens everywhere")

    def any_path_will_do(self):
        """Also a relative one, and a second start by the other name."""
        name = "it's \"my\" post, 100 %\\d"
        result = call(INSTANCE, "start", name, "--accounts", "ann", "--set", "journal_size=16777216", cwd=self.folder)
        whole = os.path.join(self.folder, name)
        try:
            equal(result.returncode, 0, f"status ({result.stderr})")
            check(f"ca={whole}/tls/ca.pem\n" in result.stdout, result.stdout)
            again = call(INSTANCE, "start", whole, "--accounts", "ann")
            equal((again.returncode, again.stdout), (0, result.stdout), "the second start")
            told = call(self.facts["ctl"], "account", "show", f"ann@{e2e.DOMAIN}", env=dict(os.environ, POSTHORN_DIR=whole))
            equal(told.returncode, 0, told.stderr)
        finally:
            equal(call(INSTANCE, "stop", name, cwd=self.folder).returncode, 0, "stop")
        check(not os.path.exists(os.path.join(whole, "pid")), "it was stopped")

    def a_given_certificate_is_shown(self):
        """Named relative to where the caller is; what it prints as ca= is then that file."""
        with tempfile.TemporaryDirectory(dir=self.folder) as other:
            os.chmod(other, 0o755)
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=x", "-addext", "subjectAltName=DNS:localhost",
                            "-keyout", "own.key", "-out", "own.pem"], cwd=other, check=True, stderr=subprocess.DEVNULL)
            result = call(INSTANCE, "start", "office", "--cert", "own.pem", "--key", "own.key", "--set", "journal_size=16777216", cwd=other)
            try:
                equal(result.returncode, 0, f"status ({result.stderr})")
                facts = dict(line.split("=", 1) for line in result.stdout.splitlines())
                equal(facts["ca"], os.path.join(other, "own.pem"), "ca=")
                shown = ssl.get_server_certificate(("localhost", int(facts["pop3s"])), ca_certs=facts["ca"])
                equal(shown.strip(), pathlib.Path(other, "own.pem").read_text(encoding="ascii").strip(), "the certificate")
            finally:
                call(INSTANCE, "stop", "office", cwd=other)
            equal(call(INSTANCE, "start", "office", "--cert", "own.pem", cwd=other).returncode, 2, "a certificate without its key")

    def taken_ports_are_told(self):
        """And nothing of the failed start is left."""
        with tempfile.TemporaryDirectory(dir=self.folder) as other, socket.create_server(("127.0.0.1", 0)) as held:
            os.chmod(other, 0o755)
            result = call(INSTANCE, "start", other, "--set", f"listen_pop3=127.0.0.1:{held.getsockname()[1]}", "--set", "journal_size=16777216")
            equal((result.returncode, result.stdout), (1, ""), "status and standard output")
            check(str(held.getsockname()[1]) in result.stderr, result.stderr)
            users = subprocess.run(["pgrep", "-f", other], capture_output=True, text=True, check=False).stdout if shutil.which("pgrep") else ""
            equal(users, "", "processes that have to do with it")

    def failed_log_ins_do_not_block(self):
        for _ in range(25):
            with socket.create_connection(("127.0.0.1", int(self.facts["pop3"])), timeout=e2e.TIMEOUT) as connection:
                client = e2e.Pop3(connection)
                client.ok(None)
                client.ok(f"USER user0@{e2e.DOMAIN}")
                client.err("PASS wrong", "[AUTH]")
        equal(self.mails(f"user0@{e2e.DOMAIN}"), [], "mails of user0")

    def closed_folders_are_told(self):
        if os.getuid() != 0:
            skip("only as root there are other users")
        closed = tempfile.mkdtemp(dir=self.folder)
        result = call(INSTANCE, "start", os.path.join(closed, "office"))
        equal(result.returncode, 1, "status")
        check(closed in result.stderr and "0700" in result.stderr, result.stderr)

    # ---- posthornctl ----------------------------------------------------------------------------------

    def ctl_lists_processes(self):
        programs = {row["program"] for row in self.rows("status")}
        check({"porter", "auth", "smtpd", "queue", "zygote"} <= programs, f"programs: {programs}")
        check(self.ctl("status").stdout.startswith("PROGRAM "), "a table for people")

    def ctl_exit_codes(self):
        address = f"alice@{e2e.DOMAIN}"
        for status, words, told in (
                (0, ("password", "verify", address), "secret\n"), (5, ("password", "verify", address), "wrong\n"),
                (3, ("account", "show", f"nobody@{e2e.DOMAIN}"), ""), (6, ("domain", "add", e2e.DOMAIN), ""),
                (2, ("account", "frobnicate"), ""), (2, ("account", "show"), ""), (2, ("alias", "add", "x", "y@@z"), "")):
            result = self.ctl(*words, input=told)
            equal(result.returncode, status, f"status of {words} ({result.stderr})")
            equal(bool(result.stderr), status != 0, "something on standard error")
        result = call(self.facts["ctl"], "--directory", self.folder, "status")
        equal(result.returncode, 4, "status without a post office")
        check("is posthorn running" in result.stderr, result.stderr)

    def ctl_manages_aliases(self):
        alias, alice = f"sales@{e2e.DOMAIN}", f"alice@{e2e.DOMAIN}"
        equal(self.ctl("alias", "add", alias, alice, f"user0@{e2e.DOMAIN}").returncode, 0, "alias add")
        equal(self.rows("alias", "list", alias), [{"alias": alias, "target": alice},
                                                  {"alias": alias, "target": f"user0@{e2e.DOMAIN}"}], "alias list")
        equal(self.ctl("alias", "remove", alias).returncode, 0, "alias remove")
        equal(self.rows("alias", "list"), [], "alias list")

    def ctl_imports_from_a_pipe(self):
        result = self.ctl("alias", "import", e2e.DOMAIN, "/dev/stdin", input=f"support: alice@{e2e.DOMAIN}\n")
        equal(result.returncode, 0, result.stderr)
        equal(self.rows("alias", "list", f"support@{e2e.DOMAIN}")[0]["target"], f"alice@{e2e.DOMAIN}", "target")

    def ctl_looks_into_accounts(self):
        names = [row["name"] for row in self.rows("mailboxes", f"user0@{e2e.DOMAIN}")]
        check("INBOX" in names, f"mailboxes: {names}")
        equal(self.ctl("fsck", f"user0@{e2e.DOMAIN}").returncode, 0, "fsck")

    def ctl_reloads(self):
        old = {row["pid"] for row in self.rows("status") if row["program"] == "porter"}
        equal(self.ctl("reload").returncode, 0, "reload")
        new = lambda: {row["pid"] for row in self.rows("status") if row["program"] == "porter" and row["state"] == "running"}
        wait_until(lambda: new() and not new() & old, "porters are replaced")
        self.all_ports_answer()

    def users_change_their_password(self):
        if os.getuid() != 0:
            skip("only root can become another user")
        user = f"user1@{e2e.DOMAIN}"
        nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        for told, status in (("wrong\nnew-secret\n", 5), ("secret\nnew-secret\n", 0), ("new-secret\nsecret\n", 0)):
            result = self.ctl("password", "change", user, input=told, **nobody)
            equal(result.returncode, status, f"status for {told!r} ({result.stderr})")
        result = self.ctl("account", "list", **nobody)
        equal(result.returncode, 5, f"an administrator's command ({result.stderr})")

    # ---- sendmail -------------------------------------------------------------------------------------

    def sendmail_needs_trust(self):
        result = call(self.program("sendmail"), f"alice@{e2e.DOMAIN}", input="Subject: x\n\ny\n", env=self.environment)
        equal(result.returncode, 77, f"status ({result.stderr})")
        check("trusted_networks" in result.stderr, result.stderr)

    def trust_loopback(self):
        path = pathlib.Path(self.directory, "posthorn.conf")
        path.write_text(self.ctl("print-config", "--set", "trusted_networks=127.0.0.0/8,::1").stdout, encoding="utf-8")
        equal(self.ctl("reload").returncode, 0, "reload")

    def sendmail_submits(self):
        self.trust_loopback()
        alice = f"alice@{e2e.DOMAIN}"
        text = f"To: Alice <{alice}>\nBcc: user0@{e2e.DOMAIN}\nSubject: from sendmail\n\n.\n..\nL\xfcneburg\n"
        result = call(self.program("sendmail"), "-t", "-i", "-f", f"user2@{e2e.DOMAIN}", "-F", "User Two",
                      input=text, env=self.environment)
        equal(result.returncode, 0, result.stderr)
        for user in (alice, f"user0@{e2e.DOMAIN}"):
            wait_until(lambda: self.mails(user), f"the mail at {user}")
            mail, = self.mails(user)
            check("Bcc" not in mail, mail)
            check(f"From: User Two <user2@{e2e.DOMAIN}>" in mail, mail)
            check(f"Return-Path: <user2@{e2e.DOMAIN}>" in mail, mail)
            check(mail.endswith("\n\n.\n..\nL\xfcneburg"), mail)
            for field in ("Date: ", "Message-ID: "):
                check(f"\n{field}" in mail, f"no {field} in {mail}")

    def sendmail_exit_codes(self):
        for status, words in ((67, [f"nobody@{e2e.DOMAIN}"]), (64, []), (64, ["-x"]), (64, ["-N", "always", "a"]), (64, ["-N", "never,failure", "a"]),
                              (64, ["-R", "half", "a"]), (65, ["a@b..test"]), (65, ["a b@@"]), (75, ["-C", "/no/such", "a"])):
            result = call(self.program("sendmail"), *words, input="x\n", env=self.environment)
            equal(result.returncode, status, f"status of {words} ({result.stderr})")

    def sendmail_asks_for_reports(self):
        """As mutt does it: when to report (-N), with how much of the mail (-R), under which id (-V)."""
        words = ("-N", "success,failure", "-R", "hdrs", "-V", "id+1", "-f", f"user1@{e2e.DOMAIN}", f"alice@{e2e.DOMAIN}")
        result = call(self.program("sendmail"), *words, input="Subject: reported\n\nkept to ourselves\n", env=self.environment)
        equal(result.returncode, 0, result.stderr)
        wait_until(lambda: self.mails(f"user1@{e2e.DOMAIN}"), "the report")
        report, = self.mails(f"user1@{e2e.DOMAIN}")
        for text in ("multipart/report", "Action: delivered", "Original-Envelope-Id: id+1", "text/rfc822-headers"):
            check(text.lower() in report.lower(), f"no {text} in {report}")
        check("kept to ourselves" not in report, report)
        result = call(self.program("sendmail"), "-N", "never", "-f", f"user1@{e2e.DOMAIN}", f"alice@{e2e.DOMAIN}", input="x\n", env=self.environment)
        equal(result.returncode, 0, result.stderr)

    def sendmail_takes_what_old_programs_say(self):
        """Queue runs, the making of alias files, and options that change nothing here."""
        newaliases = os.path.join(self.folder, "newaliases")
        os.symlink(self.program("sendmail"), newaliases)
        for words in ((newaliases,), (self.program("sendmail"), "-bi"), (self.program("sendmail"), "-q"), (self.program("sendmail"), "-q15m"),
                      (self.program("sendmail"), "-I")):
            result = call(*words, env=self.environment)
            equal((result.returncode, result.stdout, result.stderr), (0, "", ""), f"what {words[1:]} says")
        words = ("-v", "-n", "-U", "-G", "-L", "cron", "-h", "3", "-O", "DeliveryMode=b", "-FCronDaemon", "-i", "-B8BITMIME", "-oem",
                 "-odi", "-o7", "-oA/etc/aliases", "-oMrlocal", "-Am", "-Ac", "-em", "-p", "ESMTP:here", "-X", "/dev/null", "-c")
        result = call(self.program("sendmail"), *words, "--", f"user2@{e2e.DOMAIN}", input="x\n", env=self.environment)
        equal((result.returncode, result.stdout, result.stderr), (0, "", ""), "what a mail with them says")

    def sendmail_speaks_smtp(self):
        result = call(self.program("sendmail"), "-bs", input="EHLO here.test\r\nQUIT\r\n", env=self.environment)
        equal(result.returncode, 0, result.stderr)
        lines = result.stdout.splitlines()
        check(lines[0].startswith("220 ") and lines[-1].startswith("221 "), result.stdout)

    def mailq_lists_the_queue(self):
        wait_until(lambda: not self.rows("queue", "list"), "what was sent before has gone")
        equal(self.ctl("queue", "hold").returncode, 0, "queue hold")
        sent = call(self.program("sendmail"), f"alice@{e2e.DOMAIN}", input="Subject: held\n\nx\n", env=self.environment)
        equal(sent.returncode, 0, sent.stderr)
        mailq = os.path.join(self.folder, "mailq")
        os.symlink(self.program("sendmail"), mailq)
        check(f"alice@{e2e.DOMAIN}" in call(mailq, env=self.environment).stdout, "the mail is listed")
        rows = self.rows("queue", "list")
        equal([row["recipient"] for row in rows], [f"alice@{e2e.DOMAIN}"], "queue list")
        equal(self.rows("queue", "show", rows[0]["id"])[0]["id"], rows[0]["id"], "queue show")
        equal(self.ctl("queue", "release").returncode, 0, "queue release")
        wait_until(lambda: not self.rows("queue", "list"), "the queue is empty")
        equal(call(mailq, env=self.environment).stdout, "Mail queue is empty\n", "mailq")

    # ---- the end --------------------------------------------------------------------------------------

    def stop_ends_its_own_only(self):
        bystander = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        master = self.master()
        result = call(INSTANCE, "stop", self.directory)
        equal((result.returncode, result.stdout, result.stderr), (0, "", ""), "stop")
        equal(e2e.session_members(master), [], "processes left")
        equal(bystander.poll(), None, "another process")
        bystander.stdin.close()
        bystander.wait()
        for service in GREETINGS:
            with socket.socket() as probe:
                check(probe.connect_ex(("127.0.0.1", int(self.facts[service]))) != 0, f"{service} is closed")

    def stop_again_changes_nothing(self):
        never = os.path.join(self.folder, "never-started")
        os.mkdir(never)
        for directory in (self.directory, os.path.join(self.folder, "never-was"), never):
            result = call(INSTANCE, "stop", directory)
            equal((result.returncode, result.stdout, result.stderr), (0, "", ""), f"stop {directory}")
        equal(os.listdir(never), [], "what stop made")

    def stop_leaves_another_process_with_that_number(self):
        bystander = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        pathlib.Path(self.directory, "pid").write_text(f"{bystander.pid} 1\n", encoding="ascii")
        equal(call(INSTANCE, "stop", self.directory).returncode, 0, "stop")
        equal(bystander.poll(), None, "the other process")
        bystander.stdin.close()
        bystander.wait()

    def start_after_stop_finds_all_again(self):
        _, facts = self.started()
        equal(facts, self.facts, "what is printed")
        check(any("from sendmail" in mail for mail in self.mails(f"alice@{e2e.DOMAIN}")), "the mail is still there")

    def ports_of_a_stopped_office_stay_its_own(self):
        left = range(20000, 20200)  # as if other offices, all of them stopped, had the rest of the ports
        reserved = {str(port): self.folder for port in range(12000, 32768) if port not in left}
        folder = os.path.join(self.folder, "ports")
        os.mkdir(folder)
        pathlib.Path(folder, f"posthorn-ports-{os.getuid()}").write_text(json.dumps(reserved), encoding="ascii")
        environment = dict(os.environ, TMPDIR=folder)
        offices = [os.path.join(folder, name) for name in ("one", "two")]
        ports = []
        for office in offices:
            result = call(INSTANCE, "start", office, env=environment)
            call(INSTANCE, "stop", office)
            equal(result.returncode, 0, f"status of start ({result.stderr})")
            ports += [int(value) for key, value in (line.split("=", 1) for line in result.stdout.splitlines()) if key in GREETINGS]
        check(all(port in left for port in ports), f"only ports that are left: {ports}")
        equal(len(set(ports)), 2 * len(GREETINGS), "two offices that do not run at once share no port")

    def start_after_a_kill(self):
        os.kill(self.master(), signal.SIGKILL)
        wait_until(lambda: not e2e.session_members(self.master()), "all programs end with master")
        _, facts = self.started()
        equal(facts, self.facts, "what is printed")


def main():
    folder = tempfile.mkdtemp(prefix="posthorn-instance-")
    os.chmod(folder, 0o755)
    tests = Tests(folder)
    try:
        e2e.run([(name, getattr(tests, name)) for name in vars(Tests)
                 if not name.startswith("_") and name not in ("start", "started", "master", "ctl", "rows", "program", "mails", "greet",
                                                              "trust_loopback")])
    finally:
        call(INSTANCE, "stop", tests.directory)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
