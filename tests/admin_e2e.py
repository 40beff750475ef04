#!/usr/bin/env python3
"""The administrator's work on what accounts hold: import, export, backup, restore, fsck, rebuild."""
import contextlib
import json
import mailbox
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import e2e
from e2e import check, equal

COUNT = 10000
OCTETS = 8000


def rows(result):
    return json.loads(result.stdout)


class Admin:
    """An instance and a folder for files."""

    def __init__(self, instance, folder):
        self.instance = instance
        self.folder = folder
        self.made = 0

    def path(self, suffix=""):
        self.made += 1
        return os.path.join(self.folder, f"{self.made}{suffix}")

    def ctl(self, *words, **options):
        return self.instance.ctl("--json", *words, **options)

    def refused(self, text, *words):
        result = self.ctl(*words, check=False)
        check(result.returncode != 0 and text in result.stderr, f"{words}: expected a refusal with {text!r}, got {result.returncode} {result.stderr!r}")
        return result

    def maildir(self, mails, name=""):
        """A Maildir of (file name, bytes)."""
        path = self.path(name)
        for part in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(path, part))
        for file, mail in mails:
            with open(os.path.join(path, "cur", file), "wb") as out:
                out.write(mail)
        return path

    def imported(self, *mails):
        """A fresh account with these mails (CRLF) in INBOX."""
        user = self.instance.fresh_user()
        self.ctl("import", user, self.maildir([(f"{i}.x:2,", mail) for i, mail in enumerate(mails, 1)]))
        return user

    def number(self, user):
        return rows(self.ctl("account", "show", user))[0]["number"]

    def data(self, user, *parts):
        return os.path.join(self.instance.directory, "data", "accounts", self.number(user), *parts)

    def pid(self, user):
        number = self.number(user)
        found = [int(p["pid"]) for p in self.instance.processes() if p["program"] == "mailbox" and p["account"] == number]
        return found[0] if found else None

    def end_process(self, user):
        """The account's process ends as after a crash; the next request starts another."""
        pid = self.pid(user)
        if pid:
            e2e.kill(pid)
            e2e.until(lambda: self.pid(user) != pid, f"end of process {pid}")

    def lose_index(self, user):
        for name in os.listdir(self.data(user)):
            if name.startswith("meta.db"):
                os.unlink(self.data(user, name))

    def uids(self, user):
        with self.instance.pop3(user) as client:
            uids = client.uids()
            client.ok("QUIT")
        return uids

    def boxes(self, user):
        return {row["name"]: row for row in rows(self.ctl("mailboxes", user))}


def letter(number, body=b"text\r\n"):
    return b"From: a@example.test\r\nSubject: letter %d\r\n\r\n" % number + body


def exactly(size, head):
    return head + b"x" * (size - len(head) - 2) + b"\r\n"


def maildrop_of_rfc1939(admin):
    first, second = exactly(120, b"Subject: one\r\n\r\n"), exactly(200, b"Subject: two\r\n\r\n")
    user = admin.imported(first, second)
    with admin.instance.pop3(user) as client:
        equal(client.ask("STAT"), "+OK 2 320", "STAT")
        check(client.ask("LIST").startswith("+OK 2 messages"), "LIST")
        equal(client.listing(), ["1 120", "2 200"], "LIST")
        equal(client.ask("LIST 2"), "+OK 2 200", "LIST 2")
        equal(client.ask("LIST 3"), "-ERR no such message, only 2 messages in maildrop", "LIST 3")
        equal(client.retr(1), first, "RETR 1")
        client.ok("DELE 1")
        client.err("DELE 1")
        equal(client.ask("STAT"), "+OK 1 200", "STAT after DELE")
        client.ok("RSET")
        equal(client.ask("STAT"), "+OK 2 320", "STAT after RSET")
        client.ok("TOP 1 0")
        equal(client.block(), b"Subject: one\r\n\r\n", "TOP 1 0")
        uids = client.uids()
        equal(len(set(uids)), 2, "different ids")
        check(client.ok("QUIT").endswith("(2 messages left)"), "QUIT")
    equal(admin.uids(user), uids, "the ids of a second session")


def import_keeps_octets(admin):
    """LF becomes CRLF, CRLF and a bare CR stay, the last line gets its end."""
    user = admin.instance.fresh_user()
    path = admin.maildir([("1.a:2,", b"Subject: a\n\nb\rc\nd"), ("2.a:2,", b"Subject: b\r\n\r\ncrlf\r\n"), ("3.a:2,", b"")])
    admin.ctl("import", user, path)
    equal(admin.instance.mails(user), [b"Subject: a\r\n\r\nb\rc\r\nd\r\n", b"Subject: b\r\n\r\ncrlf\r\n", b""], "octets")


def nul_is_kept_and_not_shown(admin):
    user = admin.imported(b"Subject: nul\r\n\r\na\0b\r\n")
    equal(admin.instance.mails(user), [b"Subject: nul\r\n\r\na\x80b\r\n"], "RETR")
    out = admin.path()
    admin.ctl("export", user, out)
    equal(maildir_contents(out)[""][0][0], b"Subject: nul\r\n\r\na\0b\r\n", "the export")


def killed_work_is_repeated(admin):
    """The process dies in the midst of a restore and of a rebuild."""
    mails = [letter(n) for n in range(3000)]
    user = admin.imported(*mails)
    uids, file = admin.uids(user), admin.path(".backup")
    admin.ctl("backup", user, file)
    other = admin.instance.fresh_user()
    admin.ctl("mailboxes", other)
    environment = dict(os.environ, POSTHORN_DIR=admin.instance.directory)
    with subprocess.Popen([admin.instance.facts["ctl"], "restore", other, file], env=environment, stderr=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, text=True) as restore:
        restore.stderr.readline()  # the first thousand are durable
        admin.end_process(other)
    check(len(admin.uids(other)) >= 1000, "what was told as done is there")
    check("restore" not in os.listdir(admin.data(other)), "what was half done is removed")
    admin.ctl("restore", other, file)
    equal(sorted(admin.uids(other)), sorted(uids), "ids after the second restore")
    admin.end_process(user)
    with open(admin.data(user, "rebuild"), "wb"):
        pass
    admin.lose_index(user)
    equal(admin.uids(user), uids, "ids after the rebuild that was asked for before the crash")
    check("rebuild" not in os.listdir(admin.data(user)), "the mark is gone")


FOLDERS = ["INBOX", "Archive", "Archive/2024.old", "Größe & Maß", "日本"]
FLAGS = {"S": "seen", "R": "replied", "F": "flagged", "T": "trashed", "D": "draft"}


def sample_mails():
    choose = random.Random(1)
    mails = []
    for number in range(40):
        body = b"From the start\r\n>From quoted\r\n\r\nFrom a@b Thu Jan  1 00:00:00 1970\r\n" if number % 4 == 0 else b"line\r\n" * (number * 10)
        if number % 7 == 0:
            body += b"bare\rCR\r\n\r\n"
        if number % 11 == 0:
            body = b"\r\n" * number + body
        head = b"Status: mine\r\nX-Keywords: also mine\r\n" if number % 5 == 0 else b""
        flags = "".join(sorted(choose.sample("SRFTD", choose.randrange(4))) + sorted(choose.sample("abc", choose.randrange(3))))
        mails.append((head + letter(number, body), flags))
    return mails


def fill_folders(admin):
    """An account with mails in several folders; returns it and {folder: [(mail, flags, date)]}."""
    user = admin.instance.fresh_user()
    wanted = {}
    for index, folder in enumerate(FOLDERS):
        path = admin.maildir([])
        with open(os.path.join(path, "dovecot-keywords"), "w", encoding="ascii") as out:
            out.write("0 work\n1 $Forwarded2\n2 later\n")
        wanted[folder] = []
        for number, (mail, flags) in enumerate(sample_mails()[index * 8:index * 8 + 8]):
            date = 1000000000 + index * 1000 + 100 - number
            file = os.path.join(path, "cur", f"{number + 1}.x:2,{flags}")
            with open(file, "wb") as out:
                out.write(mail)
            os.utime(file, (date, date))
            wanted[folder].append((mail, flags, date))
        admin.ctl("import", user, path, "--folder", folder)
    return user, wanted


def maildir_contents(path):
    """{folder as Maildir++ names it: [(bytes with CRLF, letters, date)]} with keyword letters as their names."""
    found = {}
    for entry in sorted(os.listdir(path)):
        folder = "" if entry == "cur" else entry
        cur = os.path.join(path, folder, "cur")
        if not os.path.isdir(cur) or (folder and not folder.startswith(".")):
            continue
        keywords = {}
        names = os.path.join(path, folder, "dovecot-keywords")
        if os.path.exists(names):
            with open(names, encoding="ascii") as lines:
                keywords = {chr(97 + int(number)): name for number, name in (line.split() for line in lines)}
        mails = []
        for file in sorted(os.listdir(cur), key=lambda name: int(name.split(".Q")[1].split(".")[0])):
            with open(os.path.join(cur, file), "rb") as mail:
                text = mail.read()
            letters = [keywords.get(c, c) for c in file.split(":2,")[1]]
            mails.append((text if b"\r" in text else e2e.crlf(text), sorted(letters), int(os.stat(os.path.join(cur, file)).st_mtime)))
        found[folder] = mails
    return found


def named(wanted):
    keywords = {"a": "work", "b": "$Forwarded2", "c": "later"}
    return [(mail, sorted(keywords.get(c, c) for c in flags), date) for mail, flags, date in wanted]


def export_to_maildir(admin):
    user, wanted = fill_folders(admin)
    first = admin.path()
    admin.ctl("export", user, first)
    found = maildir_contents(first)
    equal(len(found), len(admin.boxes(user)), "number of folders")
    equal(found[""], named(wanted["INBOX"]), "INBOX")
    equal(found[".Archive"], named(wanted["Archive"]), "Archive")
    equal(found[".Archive.2024&AC4-old"], named(wanted["Archive/2024.old"]), "Archive/2024.old")
    other = admin.instance.fresh_user()
    admin.ctl("import", other, first)
    second = admin.path()
    admin.ctl("export", other, second, "--format", "maildir")
    equal(maildir_contents(second), found, "the second export")
    equal({n: b["messages"] for n, b in admin.boxes(other).items()}, {n: b["messages"] for n, b in admin.boxes(user).items()}, "mailboxes")
    admin.refused("holds something already", "export", user, first)


def export_to_mbox(admin):
    user, wanted = fill_folders(admin)
    first, second = admin.path(), admin.path()
    admin.ctl("export", user, first, "--format", "mbox")
    equal(len(os.listdir(first)), len(admin.boxes(user)), "number of files")
    with open(os.path.join(first, "INBOX.mbox"), "rb") as file:
        check(file.read().startswith(b"From MAILER-DAEMON Sun Sep  9 01:48:20 2001\nStatus: "), "a separator with the date")
    other = admin.instance.fresh_user()
    admin.ctl("import", other, first)
    admin.ctl("export", other, second)
    equal(maildir_contents(second)[""], named(wanted["INBOX"]), "INBOX by way of mbox")
    equal(maildir_contents(second)[".Archive.2024&AC4-old"], named(wanted["Archive/2024.old"]), "a folder by way of mbox")
    equal(admin.instance.mails(other), [mail for mail, _, _ in wanted["INBOX"]], "octets")


def foreign_mbox(admin):
    """What Python's mailbox module writes, which quotes and marks in its own way."""
    path = admin.path(".mbox")
    box = mailbox.mbox(path)
    for number in range(3):
        mail = mailbox.mboxMessage(letter(number, b"a\n\nFrom here\n").replace(b"\r\n", b"\n"))
        mail.set_flags(["", "RO", "FA"][number])
        mail.set_from("somebody@example.test Sat Jan  3 01:05:34 1996")
        box.add(mail)
    box.close()
    user = admin.instance.fresh_user()
    admin.ctl("import", user, path)
    equal(admin.instance.mails(user), [letter(n, b"a\r\n\r\nFrom here\r\n") for n in range(3)], "octets")
    out = admin.path()
    admin.ctl("export", user, out)
    equal([(flags, date) for _, flags, date in maildir_contents(out)[""]], [([], 820631134), (["S"], 820631134), (["F", "R"], 820631134)], "flags and dates")
    with open(path, "wb") as file:
        file.write(b"this is a letter\n")
    admin.refused("no mbox file", "import", user, path)
    admin.refused("No such file", "import", user, path + ".not")
    equal(len(admin.uids(user)), 3, "nothing came of that")


def large_import(admin):
    path = admin.path(".mbox")
    body = (b"0123456789" * 7 + b"\n") * (OCTETS // 71)
    with open(path, "wb") as out:
        for number in range(COUNT):
            out.write(b"From x@example.test Sat Jan  3 01:05:34 1996\nSubject: %d\n\n" % number + body + b"\n")
    user = admin.instance.fresh_user()
    environment = dict(os.environ, POSTHORN_DIR=admin.instance.directory)
    importer = subprocess.Popen([admin.instance.facts["ctl"], "--json", "import", user, path], env=environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    told = importer.stderr.read()
    _, status, used = os.wait4(importer.pid, 0)
    equal(status, 0, f"the import: {told}")
    check(len(told.splitlines()) >= 5 and f"{user}: {COUNT} mails" in told, f"progress lines: {told!r}")
    equal(admin.boxes(user)["INBOX"]["messages"], str(COUNT), "mails")
    with admin.instance.pop3(user) as client:
        equal(client.retr(COUNT), b"Subject: %d\r\n\r\n" % (COUNT - 1) + e2e.crlf(body), "the last mail")
        client.ok("QUIT")
    with open(admin.instance.facts["ctl"], "rb") as program:
        if b"__asan_init" in program.read():
            e2e.skip("memory is not looked at: ASan keeps what was freed")
    with open(f"/proc/{admin.pid(user)}/status", encoding="ascii") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    # what is counted begins with this program's own size before exec
    check(used.ru_maxrss < COUNT * OCTETS // 2000, f"posthornctl took {used.ru_maxrss} kB for {COUNT * OCTETS // 1000} kB")
    check(peak < COUNT * OCTETS // 2000, f"the mailbox process took {peak} kB")


def backup_and_restore(admin):
    mails = [letter(n) for n in range(50)]
    user = admin.imported(*mails)
    uids, file = admin.uids(user), admin.path(".backup")
    admin.ctl("backup", user, file)
    check("backup" not in os.listdir(admin.data(user)), "nothing is left behind")
    # all deleted by POP3, with a new mail since
    with admin.instance.pop3(user) as client:
        for number in range(1, 51):
            client.ok(f"DELE {number}")
        client.ok("QUIT")
    admin.instance.deliver(user, "Subject: since\n\nnew\n")
    equal(rows(admin.ctl("restore", user, file))[0]["restored"], "50", "restored")
    again = admin.instance.mails(user)
    equal(again[1:], mails, "octets, behind the mail that came since")
    equal(admin.uids(user)[1:], uids, "ids")
    equal(rows(admin.ctl("restore", user, file))[0], {"account": user, "restored": "0", "there": "50", "removed": "0", "damaged": "0"}, "once more")
    equal(rows(admin.ctl("restore", user, file, "--replace"))[0]["removed"], "1", "--replace removes the mail that came since")
    equal(admin.uids(user), uids, "ids after --replace")
    # the account's directory is lost
    admin.end_process(user)
    shutil.rmtree(admin.data(user))
    check(len(admin.uids(user)) <= 1, "a new directory, with what the journal may still have: the mail that came since")
    admin.ctl("restore", user, file, "--replace")
    equal(admin.instance.mails(user), mails, "octets in the new directory")
    equal(admin.uids(user), uids, "ids in the new directory")
    check(int(admin.boxes(user)["INBOX"]["uidnext"]) > 65536, "a gap in the UIDs")
    equal(rows(admin.ctl("fsck", user)), [], "fsck")


def restore_of_folders_and_flags(admin):
    user, _ = fill_folders(admin)
    file, before, after = admin.path(".backup"), admin.path(), admin.path()
    admin.ctl("export", user, before)
    admin.ctl("backup", user, file)
    other = admin.instance.fresh_user()
    admin.ctl("import", other, admin.maildir([("1.a:2,", letter(1))]), "--folder", "Gone")
    admin.ctl("restore", other, file, "--replace")
    admin.ctl("export", other, after)
    equal(maildir_contents(after), maildir_contents(before), "all that was backed up, and nothing else")


def damaged_backup_changes_nothing(admin):
    user = admin.imported(letter(1), letter(2))
    file, bad = admin.path(".backup"), admin.path(".backup")
    admin.ctl("backup", user, file)
    uids = admin.uids(user)
    with open(file, "rb") as source:
        whole = source.read()
    for name, text in (("flipped", whole[:len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1:]),
                       ("cut off", whole[:-10]), ("empty", b""), ("no archive", b"From x\n" * 100)):
        with open(bad, "wb") as out:
            out.write(text)
        admin.refused("archive", "restore", user, bad, "--replace")
        equal(admin.uids(user), uids, f"after the backup that is {name}")
    check("restore" not in os.listdir(admin.data(user)), "nothing is left behind")


def backup_while_mail_comes(admin):
    user = admin.imported(*[letter(n) for n in range(200)])
    file, stop, sent = admin.path(".backup"), threading.Event(), []

    def send():
        while not stop.is_set():
            admin.instance.deliver(user, f"Subject: now {len(sent)}\n\nbody\n")
            sent.append(len(sent))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        e2e.until(lambda: len(sent) > 3, "the first deliveries")
        uids = admin.uids(user)[:200]
        admin.ctl("backup", user, file)
        admin.ctl("restore", user, file)
        other = admin.instance.fresh_user()
        admin.ctl("restore", other, file)
        count = len(sent)
        e2e.until(lambda: len(sent) > count + 3, "deliveries that go on")
    finally:
        stop.set()
        sender.join()
    equal(admin.uids(other)[:200], uids, "ids in the other account")
    subjects = [mail.split(b"Subject: now ")[1].split(b"\r\n")[0] for mail in admin.instance.mails(user) if b"Subject: now " in mail]
    equal(sorted(map(int, subjects)), list(range(len(sent))), "every mail that was delivered, once")


def usage_of_accounts(admin):
    mails = [letter(n, b"usage of %d\r\n" % n) for n in range(1, 4)]
    user, other = admin.imported(*mails), admin.imported(letter(1))
    used = rows(admin.ctl("usage", user))
    equal([used[0][key] for key in ("account", "messages", "octets")], [user, "3", str(sum(map(len, mails)))], "what is used")
    check(int(used[0]["disk-octets"]) >= sum(file.stat().st_blocks * 512 for file in pathlib.Path(admin.data(user)).rglob("*.db")),
          f"the room on disk: {used}")
    by_account = {row["account"]: row["messages"] for row in rows(admin.ctl("usage", "--all"))}
    equal((by_account[user], by_account[other]), ("3", "1"), "usage of all")


def fsck_finds_damage(admin):
    mails = [letter(n, b"body of %d\r\n" % n) for n in range(1, 6)]
    user = admin.imported(*mails)
    uids = admin.uids(user)
    equal(rows(admin.ctl("fsck", user)), [], "fsck of a good account")
    file = admin.path(".backup")
    admin.ctl("backup", user, file)
    segment = admin.data(user, "seg", "0001")
    with open(segment, "r+b") as out:
        at = out.read().index(b"body of 3")
        out.seek(at)
        out.write(b"BODY")
    result = admin.refused("damages found", "fsck", user)
    equal(rows(result)[0]["kind"], "corrupt", "what was found")
    with admin.instance.pop3(user) as client:
        for number in (1, 2, 4, 5):
            equal(client.retr(number), mails[number - 1], f"mail {number}")
        client.err("RETR 3")
        client.ok("QUIT")
    result = admin.refused("damaged", "export", user, admin.path())
    check("INBOX uid" in result.stderr and rows(result)[0]["mails"] == "4", f"the export tells it: {result.stderr}")
    admin.refused("accounts failed", "fsck", "--all")
    admin.ctl("restore", user, file)
    equal(sorted(admin.instance.mails(user)), sorted(mails), "all mails after a restore")
    equal(set(admin.uids(user)) & set(uids), set(uids) - {uids[2]}, "the ids of the good ones")


def rebuild_without_index(admin):
    mails = [letter(n) for n in range(30)]
    user = admin.imported(*mails)
    uids, number = admin.uids(user), admin.boxes(user)["INBOX"]["uidvalidity"]
    equal(rows(admin.ctl("rebuild", user))[0], {"account": user, "mails": "30", "recovered": "0", "damaged": "0"}, "a rebuild while it serves")
    equal(admin.instance.mails(user), mails, "octets")
    equal(admin.uids(user), uids, "ids")
    check(admin.boxes(user)["INBOX"]["uidvalidity"] != number, "a new UIDVALIDITY")
    admin.lose_index(user)
    equal(rows(admin.ctl("rebuild", user))[0]["mails"], "30", "a rebuild of a lost index")
    equal(admin.uids(user), uids, "ids after it")
    # lost while no process runs: it is rebuilt at once
    admin.end_process(user)
    admin.lose_index(user)
    equal(admin.instance.mails(user), mails, "octets after the next start")
    equal(admin.uids(user), uids, "ids after the next start")
    admin.instance.deliver(user, "Subject: since\n\nnew\n")
    equal(len(admin.uids(user)), 31, "mail goes on")
    equal(rows(admin.ctl("fsck", user)), [], "fsck")


def backup_of_all(admin):
    user = admin.imported(letter(1))
    folder = admin.path()
    count = len(rows(admin.ctl("account", "list")))
    equal(len(rows(admin.ctl("backup", "--all", folder))), count, "accounts backed up")
    names = os.listdir(folder)
    check({"directory.db", "queue.keys", "posthorn.conf", f"{user}.backup"} <= set(names) and len(names) == count + 3, f"files: {names}")
    with open(os.path.join(folder, "directory.db"), "rb") as file:
        check(user.encode() in file.read() or os.path.getsize(file.name) > 10000, "the directory")
    for name in names:
        equal(os.stat(os.path.join(folder, name)).st_mode & 0o777, 0o600, f"mode of {name}")
        if name.endswith(".backup") and name != f"{user}.backup":
            os.unlink(os.path.join(folder, name))
    with admin.instance.pop3(user) as client:
        client.ok("DELE 1")
        client.ok("QUIT")
    equal(rows(admin.ctl("restore", "--all", folder))[0]["restored"], "1", "restored")
    equal(admin.instance.mails(user), [letter(1)], "octets")


def everything_from_nothing(admin):
    """backup --all, the loss of all data, restore --all: passwords, aliases and mail are back, and nothing is overwritten later."""
    folder = admin.path()
    alice, bob = f"alice@{e2e.DOMAIN}", f"bob@{e2e.DOMAIN}"
    with e2e.Instance(accounts=()) as instance:
        instance.ctl("domain", "add", e2e.DOMAIN)
        for user in (alice, bob):
            instance.ctl("account", "add", user, text_input="old password\n")
        instance.ctl("optin", "add", bob, "apop", text_input="old password\n")
        instance.ctl("alias", "add", f"sales@{e2e.DOMAIN}", bob)
        token = rows(instance.ctl("--json", "app-password", "add", bob, "phone"))[0]["password"]
        instance.deliver(f"sales@{e2e.DOMAIN}", "Subject: kept\n\ntext\n")
        with instance.pop3(bob, password="old password") as client:
            mails, uids = client.all(), client.uids()
            client.ok("QUIT")
        instance.ctl("dkim", "make", e2e.DOMAIN)
        keys = rows(instance.ctl("--json", "dkim", "record", e2e.DOMAIN))
        instance.ctl("backup", "--all", folder)
        instance.stop()
        shutil.rmtree(os.path.join(instance.directory, "data"))
        instance.start()
        equal(instance.ctl("account", "list").stdout, "", "accounts after the loss")
        restored = instance.ctl("--json", "restore", "--all", folder)
        equal((restored.stderr, len(rows(restored))), ("", 2), "the restore")
        equal(rows(instance.ctl("--json", "dkim", "record", e2e.DOMAIN)), keys, "the keys that mail is signed with")
        for password in ("old password", token):
            with instance.pop3(bob, password=password) as client:
                equal((client.all(), client.uids()), (mails, uids), "the mail")
                client.ok("QUIT")
        with e2e.Pop3(instance.connect("pop3").connection) as client:
            check("<" in client.line(), "APOP is offered")
        instance.deliver(f"sales@{e2e.DOMAIN}", "Subject: new\n\ntext\n")
        instance.ctl("account", "add", f"carol@{e2e.DOMAIN}", text_input="a third password\n")
        instance.ctl("dkim", "rotate", e2e.DOMAIN)
        instance.ctl("dkim", "rotate", e2e.DOMAIN)
        for row in keys:
            instance.ctl("dkim", "delete", e2e.DOMAIN, row["selector"])
        newer = rows(instance.ctl("--json", "dkim", "record", e2e.DOMAIN))
        again = instance.ctl("--json", "restore", "--all", folder)
        check("already: they stay" in again.stderr, f"a second restore: {again.stderr}")
        equal(len(rows(instance.ctl("--json", "account", "list"))), 3, "the directory after a second restore")
        equal(rows(instance.ctl("--json", "dkim", "record", e2e.DOMAIN)), newer, "a key that was deleted since stays away")
        with open(os.path.join(folder, "queue.keys"), "r+b") as file:
            file.truncate(os.path.getsize(file.name) - 20)
        cut = instance.ctl("restore", "--all", folder, check=False)
        check(cut.returncode and "queue.keys" in cut.stderr, f"keys that are cut off: {cut.stderr}")
        with instance.pop3(bob, password="old password") as client:
            equal(len(client.uids()), 2, "mails after a second restore")
            client.ok("QUIT")


def sessions_of(admin, user):
    return [row for row in rows(admin.ctl("sessions")) if row["account"] == user]


def sessions_are_listed(admin):
    """Until they end, also where porter has given the socket away, and when the process that serves them is killed."""
    instance, user = admin.instance, admin.instance.fresh_user()
    for service, begin in (("pop3", lambda: instance.pop3(user)), ("pop3s", lambda: instance.pop3(user, service="pop3s")),
                           ("submission", lambda: instance.smtp("submission", user=user)),
                           ("submissions", lambda: instance.smtp("submissions", user=user))):
        with begin() as client:
            if service.startswith("submission"):
                client.say(f"MAIL FROM:<{user}>", "250")  # from here on an smtpd serves it
            found = sessions_of(admin, user)
            equal([(row["service"], row["peer"]) for row in found], [(service, "127.0.0.1")], f"a session of {service}")
            equal(int(found[0]["since"]) > 1700000000, True, "when it began")
            client.send("QUIT")
            client.rest()
        e2e.until(lambda: not sessions_of(admin, user), f"the end of a session of {service}")
    with instance.pop3(user) as client:
        equal(len(sessions_of(admin, user)), 1, "one session")
        e2e.kill(admin.pid(user))
        client.rest()
        e2e.until(lambda: not sessions_of(admin, user), "the end of a session whose process was killed")


def one_session_is_dropped(admin):
    """That one and no other, wherever it is served."""
    instance, user = admin.instance, admin.instance.fresh_user()
    for service in ("pop3", "pop3s", "submission", "submission with MAIL"):
        begin = instance.pop3 if service.startswith("pop3") else lambda user, service: instance.smtp(service, user=user)
        with begin(user, service=service.split()[0]) as client, instance.smtp("submissions", user=user) as other:
            if service.endswith("MAIL"):
                client.say(f"MAIL FROM:<{user}>", "250")
            ids = {row["service"]: row["session"] for row in sessions_of(admin, user)}
            equal(set(ids), {service.split()[0], "submissions"}, "both sessions")
            admin.ctl("session", "drop", ids[service.split()[0]].lstrip("0"))
            client.rest()
            other.say("NOOP", "250")
            e2e.until(lambda: [row["service"] for row in sessions_of(admin, user)] == ["submissions"], f"the end of {service} alone")
            other.say("QUIT", "221")
        e2e.until(lambda: not sessions_of(admin, user), "the end of both")
    admin.refused("no session", "session", "drop", "12ab")
    admin.refused("no session", "session", "drop", "twelve")


def end_all_sessions(admin):
    """Who may not log in as before has no session any more, whatever the service, and wherever it is served."""
    instance = admin.instance
    ways = (("account", "disable"), ("password", "set"), ("app-password", "remove"), ("account", "delete"))
    for way in ways:
        user = instance.fresh_user()
        more = ("phone",) if way[0] == "app-password" else ()
        if more:
            admin.ctl("app-password", "add", user, *more)
        with contextlib.ExitStack() as stack:
            clients = {"pop3": stack.enter_context(instance.pop3(user))}
            for service in ("submission", "submissions"):
                for state in ("", "MAIL", "MAIL, RSET"):
                    clients[f"{service} {state}"] = client = stack.enter_context(instance.smtp(service, user=user))
                    if state:
                        client.say(f"MAIL FROM:<{user}>", "250")
                    if state.endswith("RSET"):
                        client.say("RSET", "250")
            admin.ctl(*way, user, *more, text_input="another secret\n")
            for name, client in clients.items():
                equal([line for line in client.rest().split(b"\r\n") if line and not line.startswith((b"-ERR", b"421"))], [],
                      f"{' '.join(way)}: what {name} says at its end")
        equal(sessions_of(admin, user), [], "sessions")


def log_of_sessions(admin):
    """By account with all that its session did, by session, program, event and time; escaped for people, not for programs."""
    user, stranger = admin.instance.fresh_user(), admin.instance.fresh_user()
    with admin.instance.pop3(user) as client:
        client.ok("QUIT")
    admin.instance.deliver(user, "Subject: for the log\n\ntext\n", sender="a=b@elsewhere.test")
    with admin.instance.pop3(stranger) as client:
        client.ok("QUIT")
    found = rows(admin.ctl("log", f"account={user}"))
    events = [row["event"] for row in found]
    for event in ("logged-in", "pop3-begin", "pop3-end", "delivered"):
        check(event in events, f"{event} is in {events}")
    check(all(stranger not in json.dumps(row) for row in found), f"only of {user}: {found}")
    begin = [row for row in found if row["event"] == "pop3-begin"][0]
    of_session = rows(admin.ctl("log", f"session={begin['session'].lstrip('0')}"))
    check({"porter", "mailbox"} <= {row["program"] for row in of_session}, f"programs of a session: {of_session}")
    equal({row["session"] for row in of_session}, {begin["session"]}, "its session")
    delivered = [row for row in found if row["event"] == "delivered"][0]
    of_mail = rows(admin.ctl("log", f"queue-id={delivered['queue-id']}", "program=queue", "--since", "1h"))
    equal({row["event"] for row in of_mail} & {"queued", "delivered"}, {"queued", "delivered"}, "what became of a mail")
    equal(rows(admin.ctl("log", "--since", "2099-01-01")), [], "the log of the future")
    equal(rows(admin.ctl("log", "from=a=b@elsewhere.test"))[-1]["from"], "a=b@elsewhere.test", "octets for programs")
    check("from=a\\x3db@elsewhere.test" in admin.instance.ctl("log", f"queue-id={delivered['queue-id']}").stdout, "octets for people")
    admin.refused("no KEY=VALUE", "log", user)
    admin.refused("--since", "log", "--since", "yesterday")


def log_is_followed(admin):
    user = admin.instance.fresh_user()
    environment = dict(os.environ, POSTHORN_DIR=admin.instance.directory)
    with subprocess.Popen([admin.instance.facts["ctl"], "log", "--follow", "--since", "2000-01-01", "event=account-disabled"],
                          env=environment, stdout=subprocess.PIPE, text=True) as follower:
        try:
            for number in range(3):
                admin.ctl("account", "disable", user)
                line = follower.stdout.readline()
                check(f"account-disabled account={user}" in line, f"line {number}: {line}")
                admin.ctl("account", "enable", user)
        finally:
            follower.terminate()


def log_of_journald(admin):
    """An installed post office logs to journald; here a program of this name stands for journalctl."""
    folder = admin.path()
    os.mkdir(folder)
    program = os.path.join(folder, "journalctl")
    with open(program, "w", encoding="utf-8") as file:
        file.write('#!/bin/sh\nprintf "%s\\n" "$*" >"$0.arguments"\n'
                   'echo "2026-11-22T06:30:00.123Z master - running pid=1"\n'
                   'printf "what a library says \\033[1m\\n"\nexit ${FAILS:-0}\n')
    os.chmod(program, 0o755)

    def log(*words, **more):
        environment = dict(os.environ, PATH=folder + ":" + os.environ["PATH"], **more)
        environment.pop("POSTHORN_DIR", None)
        return subprocess.run([admin.instance.facts["ctl"], "log", *words], env=environment, text=True, timeout=60, capture_output=True, check=False)
    equal(log().stdout, "2026-11-22T06:30:00.123Z master - running pid=1\nwhat a library says \\x1b[1m\n", "the journal")
    with open(program + ".arguments", encoding="utf-8") as file:
        equal(file.read(), "--unit=posthorn --output=cat --quiet --all --no-pager --since=@0\n", "what journalctl is asked")
    equal(log("program=porter", "--since", "2026-11-22Z").stdout, "", "another program")
    with open(program + ".arguments", encoding="utf-8") as file:
        check("--since=@1795305600" in file.read(), "the time goes to journalctl")
    failed = log(FAILS="1")
    check(failed.returncode != 0 and "journalctl cannot" in failed.stderr, f"its failure: {failed}")


def deletion_with_grace(admin):
    """A deleted account takes neither mail nor log-ins, and comes back whole within its time; after it nothing is left."""
    instance, user = admin.instance, admin.imported(letter(1))
    uids, folder = admin.uids(user), admin.data(user)

    def is_refused():
        with instance.smtp("lmtp") as client:
            client.say("MAIL FROM:<>", "250")
            client.say(f"RCPT TO:<{user}>", "550 5.")
        with e2e.Pop3(instance.connect("pop3").connection) as client:
            client.ok(None)
            client.ok(f"USER {user}")
            client.err(f"PASS {e2e.PASSWORD}", "[AUTH]")
    admin.ctl("account", "delete", user)
    is_refused()
    equal(rows(admin.ctl("account", "purge")), [], "what is removed before its time")
    admin.ctl("account", "undelete", user)
    equal(admin.uids(user), uids, "the ids of an account that came back")
    number, pid = admin.number(user), admin.pid(user)
    admin.refused("not deleted", "account", "purge", number)
    for name in ("", "one", "0", "18446744073709551617"):
        admin.refused("number", "account", "purge", name)
    admin.ctl("account", "delete", user, "0")
    is_refused()
    admin.ctl("account", "add", user, text_input=f"{e2e.PASSWORD}\n")  # the address is free at once
    other = admin.imported(letter(1))
    other_folder, other_pid = admin.data(other), admin.pid(other)
    admin.ctl("account", "delete", other, "0")
    e2e.kill(other_pid)

    def passes_over():
        admin.refused("still served", "account", "purge")
        return not os.path.exists(other_folder)
    e2e.until(passes_over, "one that is still served does not keep the others")
    e2e.kill(pid)
    outside = admin.path()
    with open(outside, "w", encoding="ascii") as file:
        file.write("not of the account")
    os.mkdir(os.path.join(folder, "odd"))
    os.symlink(os.path.dirname(outside), os.path.join(folder, "odd", "link"))  # a process that was taken over may leave such things
    e2e.until(lambda: admin.ctl("account", "purge", check=False).returncode == 0, "the end of the process")
    check(not os.path.exists(folder), "its files are gone")
    check(os.path.exists(outside), "and no others")
    equal([row["number"] for row in rows(admin.ctl("account", "list")) if row["number"] == number], [], "its number")
    equal(admin.uids(user), [], "mails of the next one with this name")


def long_addresses(admin):
    """Senders made for one recipient (VERP, SRS) and long subaddresses: 256 octets before the "@" and 255 behind it."""
    instance, user = admin.instance, admin.instance.fresh_user()
    domain = ".".join(["d" * 63] * 3 + ["e" * 63])
    sender, detail = f"{'s' * 256}@{domain}", "t" * (255 - len(user.split("@")[0]))
    recipient = user.replace("@", f"+{detail}@")
    equal((len(sender), len(recipient.split("@")[0])), (512, 256), "the longest addresses")
    instance.deliver(recipient, "Subject: long\n\ntext\n", sender=sender)
    mail, = instance.mails(user)
    check(mail.startswith(f"Return-Path: <{sender}>\r\n".encode()), f"the Return-Path: {mail[:100]}")
    with instance.smtp("lmtp") as client:
        client.send(f"MAIL FROM:<s{sender}>")
        check(client.reply()[-1].startswith("5"), "a longer sender is refused")
        client.say("MAIL FROM:<>", "250")
        client.send(f"RCPT TO:<{recipient.replace('+', '+t')}>")
        check(client.reply()[-1].startswith("5"), "a longer recipient is refused")
        client.say("QUIT", "221")
    folder = admin.path()
    os.mkdir(folder)
    longest = f"{'x' * 64}@{e2e.DOMAIN}"
    admin.ctl("account", "add", longest, "-n")
    admin.refused("at most 64", "account", "add", "x" + longest, "-n")
    admin.ctl("backup", longest, os.path.join(folder, "one.backup"))


def mistakes_are_told(admin):
    user = admin.imported(letter(1))
    admin.refused("maildir or mbox", "export", user, admin.path(), "--format", "pst")
    admin.refused("takes no --format", "backup", user, admin.path(), "--format", "mbox")
    admin.refused("too few arguments", "backup", user)
    admin.refused("too many arguments", "fsck", "--all", user)
    admin.refused("No such file", "restore", user, admin.path(".backup"))
    admin.refused("no Maildir", "import", user, admin.folder, "--format", "maildir")
    result = admin.ctl("fsck", f"nobody@{e2e.DOMAIN}", check=False)
    equal(result.returncode, 3, "exit status for an account that is not there")
    for words in ((), ("bogus",), ("account",), ("account", "show"), ("account", "show", "nobody@nowhere.test"), ("account", "add", user),
                  ("session", "drop", "x"), ("log", "x"), ("trace", "x"), ("check-config", "/nowhere"), ("mailboxes", "nobody@nowhere.test"),
                  ("dmarc", "show", "/nowhere"), ("doctor", "x", "y"), ("alias", "import", e2e.DOMAIN, "/nowhere"), ("export", user, "/proc/no")):
        result = admin.ctl(*words, check=False)
        check(result.returncode != 0 and result.stderr.startswith("posthornctl: "), f"{words}: {result.returncode} {result.stderr}")
        equal(rows(result), [], f"{words}: the answer for programs")
    export = admin.path()
    admin.ctl("export", user, export)
    backup = admin.path(".backup")
    admin.ctl("backup", user, backup)
    equal(len(admin.uids(user)), 1, "the account")


def care_beside_mail(admin):
    """Mail that never pauses puts account care off for a minute, not for ever; what SEARCH lists is taken up by care only."""
    e2e.long_only("more than a minute of mail without a pause")
    user = admin.instance.fresh_user()
    began = time.monotonic()
    while not os.path.exists(admin.data(user, "list")):
        check(time.monotonic() - began < 90, "no care of an account that always gets mail")
        admin.instance.deliver(user, "Subject: one of many\n\n")
        time.sleep(0.5)
    check(time.monotonic() - began > 10, "care that does not wait for a pause")


def main():
    tests = [maildrop_of_rfc1939, import_keeps_octets, nul_is_kept_and_not_shown, export_to_maildir, export_to_mbox, foreign_mbox, large_import, backup_and_restore,
             restore_of_folders_and_flags, damaged_backup_changes_nothing, backup_while_mail_comes, killed_work_is_repeated, usage_of_accounts, fsck_finds_damage,
             rebuild_without_index, backup_of_all, everything_from_nothing, sessions_are_listed, one_session_is_dropped, log_of_sessions, log_is_followed, log_of_journald,
             end_all_sessions, deletion_with_grace, care_beside_mail, long_addresses, mistakes_are_told]
    with e2e.Instance() as instance, tempfile.TemporaryDirectory(prefix="posthorn-admin-") as folder:
        admin = Admin(instance, folder)
        named = [(test.__name__.replace("_", " "), lambda test=test: test(admin)) for test in tests]
        wanted = sys.argv[1:]
        e2e.run([one for one in named if not wanted or one[0] in wanted])


if __name__ == "__main__":
    main()
