#!/usr/bin/env python3
"""Real IMAP clients: Python's imaplib, curl, mbsync, neomutt, mutt, aerc, fetchmail, getmail, offlineimap, imapfilter,
interimap, Dovecot's doveadm, Perl's Mail::IMAPClient, Alpine, Thunderbird, Geary and Evolution: tests/imap_clients_e2e.py [NAME…]

Each has an account of its own. A client that is not installed is a skip by its name.
"""
import contextlib
import fcntl
import imaplib
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time

import e2e
import imap_transcript
from e2e import check, equal

PERL = r"""
use strict; use warnings; use Mail::IMAPClient;
my ($port, $user, $password) = @ARGV;
my $imap = Mail::IMAPClient->new(Server => '127.0.0.1', Port => $port, User => $user, Password => $password, Uid => 1, Timeout => 20)
	or die "connect: $@";
sub ok { my ($what, $good) = @_; die "$what: " . ($imap->LastError // '?') unless $good; }
ok('capability', $imap->has_capability('IMAP4rev1'));
ok('create', $imap->create('Perl/Box'));
ok('folders', scalar grep { $_ eq 'Perl/Box' } $imap->folders);
ok('select', $imap->select('INBOX'));
ok('count', $imap->message_count == 3);
my @found = $imap->search('SUBJECT', 'mail 2');
ok('search', @found == 1);
ok('subject', $imap->subject($found[0]) eq 'mail 2');
ok('string', $imap->message_string($found[0]) =~ /This is mail 2/);
ok('structure', $imap->get_bodystructure($found[0])->bodytype eq 'TEXT');
ok('flags', $imap->set_flag('Flagged', $found[0]));
ok('copy', $imap->copy('Perl/Box', $found[0]));
ok('move', $imap->move('Perl/Box', $imap->search('SUBJECT', 'mail 1')));
ok('expunge', $imap->expunge);
ok('left', $imap->message_count == 2);
ok('append', $imap->append_string('Perl/Box', "Subject: from perl\r\n\r\nbody\r\n", '\\Seen'));
ok('status', $imap->message_count('Perl/Box') == 3);
ok('logout', $imap->logout);
print "all is well\n";
"""


def tool(name):
    return shutil.which(name) or e2e.skip(f"{name} is not installed")


def mail(number):
    return (f"From: Alice <alice@example.test>\r\nSubject: number {number}\r\nMessage-ID: <{number}@clients.test>\r\n\r\n"
            f"Body {number}\r\n.with a dot\r\n").encode()


class Tests:
    def __init__(self, instance):
        self.instance = instance
        self.root = pathlib.Path(instance.directory, "clients")
        self.root.mkdir()

    # ---- shared ---------------------------------------------------------------------------------

    def begin(self, name, mails=3):
        """A fresh account with some mails, and a folder for the client."""
        user, folder = self.instance.fresh_user(), self.root / name
        folder.mkdir()
        with imap_transcript.log_in(self.instance, user) as client:
            for number in range(1, mails + 1):
                text = mail(number).decode()
                _, answer = client.command(f"APPEND INBOX {{{len(text)}+}}\r\n{text}")
                check(answer.startswith("OK"), answer)
        return user, folder

    def run(self, *command, folder, text_input=None, expect=0, **environment):
        environment = dict(os.environ, HOME=str(folder), LC_ALL="C.UTF-8", **environment)
        done = subprocess.run([str(word) for word in command], cwd=folder, env=environment, text=True, timeout=60, check=False,
                              input=text_input, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        equal(done.returncode, expect, f"{command[0]} ended with:\n{done.stdout[-2000:]}\n")
        return done.stdout

    def subjects(self, user, mailbox="INBOX"):
        """Subject and flags of all mails in a mailbox."""
        with imap_transcript.log_in(self.instance, user) as client:
            client.command(f"EXAMINE {mailbox}")
            answers, _ = client.command("FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        found = [re.search(r"FLAGS \(([^)]*)\).*Subject: ([^\r]*)\r", answer, re.DOTALL) for answer in answers]
        return sorted((one[2], sorted(one[1].replace("\\Recent", "").split())) for one in found if one)

    def names(self, user, mailbox="INBOX"):
        return [subject for subject, _ in self.subjects(user, mailbox)]

    # ---- clients -------------------------------------------------------------------------------------

    def imaplib_session(self, connect):
        user, _ = self.begin("imaplib-" + connect.__name__)
        client = connect(user)
        equal(client.enable("UTF8=ACCEPT")[0], "OK", "enable")
        equal(client.create("Work/Box")[0], "OK", "create")
        equal(client.select("INBOX")[1], [b"3"], "select")
        equal(client.search(None, "SUBJECT", '"number 2"')[1], [b"2"], "search")
        equal(client.uid("FETCH", "2", "(BODY.PEEK[])")[1][0][1], mail(2), "the mail")
        equal(client.store("2", "+FLAGS", r"(\Flagged)")[0], "OK", "store")
        equal(client.copy("1:2", "Work/Box")[0], "OK", "copy")
        client.store("3", "+FLAGS", r"(\Deleted)")
        equal(client.expunge()[1], [b"3"], "expunge")
        equal(client.append("INBOX", r"(\Seen)", imaplib.Time2Internaldate(0), mail(4))[0], "OK", "append")
        equal(client.status("INBOX", "(MESSAGES UNSEEN)")[1], [b"INBOX (MESSAGES 3 UNSEEN 2)"], "status")
        equal(client.noop()[0], "OK", "noop")
        client.close()
        client.logout()
        equal(self.subjects(user), [("number 1", []), ("number 2", ["\\Flagged"]), ("number 4", ["\\Seen"])], "INBOX")
        equal(self.names(user, "Work/Box"), ["number 1", "number 2"], "the other mailbox")

    def imaplib_clear(self):
        def clear(user):
            client = imaplib.IMAP4("127.0.0.1", self.instance.port("imap"))
            client.login(user, e2e.PASSWORD)
            return client
        self.imaplib_session(clear)

    def imaplib_starttls(self):
        def starttls(user):
            client = imaplib.IMAP4("localhost", self.instance.port("imap"))
            client.starttls(self.instance.tls())
            client.authenticate("PLAIN", lambda _: f"\0{user}\0{e2e.PASSWORD}".encode())
            return client
        self.imaplib_session(starttls)

    def imaplib_tls(self):
        def tls(user):
            client = imaplib.IMAP4_SSL("localhost", self.instance.port("imaps"), ssl_context=self.instance.tls())
            client.login(user, e2e.PASSWORD)
            return client
        self.imaplib_session(tls)

    def curl(self):
        user, folder = self.begin("curl")
        base = ("curl", "--silent", "--show-error", "--cacert", self.instance.facts["ca"], "--user", f"{user}:{e2e.PASSWORD}")
        clear, tls = f"imap://localhost:{self.instance.port('imap')}", f"imaps://localhost:{self.instance.port('imaps')}"
        tool("curl")
        check("INBOX" in self.run(*base, tls, folder=folder), "the list")
        self.run(*base, "--ssl-reqd", f"{clear}/INBOX;MAILINDEX=2", "--output", "two", folder=folder)
        equal((folder / "two").read_bytes(), mail(2), "the mail")
        self.run(*base, f"{tls}/INBOX;UID=1;SECTION=TEXT", "--output", "text", folder=folder)
        equal((folder / "text").read_bytes(), mail(1).split(b"\r\n\r\n", 1)[1], "its text")
        (folder / "new").write_bytes(mail(4))
        self.run(*base, "--upload-file", "new", f"{tls}/INBOX", folder=folder)
        check("* SEARCH 4" in self.run(*base, f"{tls}/INBOX?SUBJECT%20%22number%204%22", folder=folder), "the search")
        self.run(*base, "--request", r"STORE 1 +FLAGS (\Deleted)", f"{tls}/INBOX", folder=folder)
        self.run(*base, "--request", "EXPUNGE", f"{tls}/INBOX", folder=folder)
        self.run(*base, "--login-options", "AUTH=PLAIN", "--sasl-ir", "--request", "CREATE Curl", f"{tls}/", folder=folder)
        equal(self.names(user), ["number 2", "number 3", "number 4"], "INBOX")
        for mechanism in ("SCRAM-SHA-256", "CRAM-MD5", "LOGIN"):
            if mechanism == "LOGIN":
                self.run(*base, "--login-options", f"AUTH={mechanism}", tls, folder=folder)

    def mbsync(self):
        mbsync = tool("mbsync")
        user, folder = self.begin("mbsync")
        (folder / "mail").mkdir()
        (folder / "rc").write_text(f"""
IMAPAccount a
Host localhost
Port {self.instance.port("imap")}
User {user}
Pass {e2e.PASSWORD}
SSLType STARTTLS
CertificateFile {self.instance.facts["ca"]}

IMAPStore far
Account a

MaildirStore near
Path {folder}/mail/
Inbox {folder}/mail/Inbox
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
""")
        self.run(mbsync, "-c", "rc", "all", folder=folder)
        inbox = folder / "mail/Inbox"
        fetched = sorted(inbox.glob("*/*"), key=lambda path: path.read_bytes().split(b"Subject: ")[1])
        fetched = [path for path in fetched if path.parent.name in ("new", "cur")]
        equal([path.read_bytes().replace(b"\n", b"\r\n").replace(b"\r\r", b"\r").split(b"\r\n\r\n", 1)[1] for path in fetched],
              [mail(n).split(b"\r\n\r\n", 1)[1] for n in (1, 2, 3)], "what was fetched")
        # here: one read, one deleted, one new; there: one flagged
        base = fetched[0].name.split(":")[0]
        fetched[0].rename(inbox / "cur" / f"{base}:2,S")
        fetched[1].rename(inbox / "cur" / f"{fetched[1].name.split(':')[0]}:2,T")
        (inbox / "new" / "4.new.host").write_bytes(mail(4).replace(b"\r\n", b"\n"))
        with imap_transcript.log_in(self.instance, user) as client:
            client.command("SELECT INBOX")
            client.command(r"STORE 3 +FLAGS.SILENT (\Flagged)")
            client.command("CREATE Other")
        self.run(mbsync, "-c", "rc", "all", folder=folder)
        equal(self.subjects(user), [("number 1", ["\\Seen"]), ("number 3", ["\\Flagged"]), ("number 4", [])], "there")
        equal(len([path for path in inbox.glob("*/*") if path.parent.name in ("new", "cur")]), 3, "mails here")
        check((folder / "mail/Other/cur").is_dir(), "the new mailbox is here, too")
        check(any(path.name.endswith(":2,F") for path in inbox.glob("cur/*")), "the flag is here, too")
        self.run(mbsync, "-c", "rc", "all", folder=folder)
        equal(len(self.subjects(user)), 3, "nothing is doubled")

    def mutt(self, program):
        path = tool(program)
        user, folder = self.begin(program)
        (folder / "rc").write_text(f"""
set folder="imaps://localhost:{self.instance.port("imaps")}/" spoolfile=+INBOX imap_user="{user}" imap_pass={e2e.PASSWORD}
set certificate_file={self.instance.facts["ca"]} ssl_force_tls=yes imap_condstore=yes imap_qresync=yes
set delete=yes quit=yes confirmappend=no confirmcreate=no wait_key=no mail_check=0 sleep_time=0 copy=no record="" move=no
set mark_old=no header_cache="{folder}/cache" imap_check_subscribed=no from={user} sort=threads timeout=1
""")
        self.mutt_keys(path, folder, "<search>~s 'number 2'<enter><flag-message>"
                       "<search>~s 'number 1'<enter><delete-message>"
                       f"<search>~s 'number 3'<enter><copy-message>{folder}/copied<enter>"
                       "<search>~s 'number 3'<enter><copy-message>=Kept<enter>")
        check(b"Subject: number 3" in (folder / "copied").read_bytes(), "the mail that was copied here")
        equal(self.subjects(user), [("number 2", ["\\Flagged"]), ("number 3", [])], "INBOX")
        equal(self.names(user, "Kept"), ["number 3"], "the other mailbox")
        # again with the cache: one is gone, one has other flags, one is new
        with imap_transcript.log_in(self.instance, user) as client:
            client.command("SELECT INBOX")
            client.command(r"STORE 1 +FLAGS.SILENT (\Deleted)")
            client.command("EXPUNGE")
            client.command(r"STORE 1 +FLAGS.SILENT (\Flagged)")
        self.instance.deliver(user, mail(4))
        self.mutt_keys(path, folder, "<tag-pattern>~F<enter><tag-prefix><delete-message>"
                       f"<search>~b 'Body 4'<enter><copy-message>{folder}/again<enter>")
        check(b"Subject: number 4" in (folder / "again").read_bytes(), "the mail that was found")
        equal(self.subjects(user), [("number 4", [])], "INBOX after the second session")

    def mutt_keys(self, path, folder, keys):
        self.run_in_terminal([path, "-n", "-F", str(folder / "rc"), "-e", f'push "{keys}<sync-mailbox><quit>"'], folder)

    def neomutt(self):
        self.mutt("neomutt")

    def mutt_itself(self):
        self.mutt("mutt")

    def aerc(self):
        path = tool("aerc")
        user, folder = self.begin("aerc")
        (folder / ".config/aerc").mkdir(parents=True)
        accounts = folder / ".config/aerc/accounts.conf"
        accounts.write_text(f"[a]\nsource = imaps://{user.replace('@', '%40')}:{e2e.PASSWORD}@localhost:{self.instance.port('imaps')}\n"
                            f"outgoing = /bin/true\nfrom = <{user}>\nenable-folders-sort = true\ncache-headers = true\n")
        accounts.chmod(0o600)

        def flagged():
            return [subject for subject, flags in self.subjects(user) if "\\Flagged" in flags]
        # each line is typed when the screen shows or the account has what it needs
        self.run_in_terminal([path], folder, SSL_CERT_FILE=self.instance.facts["ca"], keys=[
            (b"number 2", ":toggle-threads\r:sort subject\r:search -b Body\r:flag\r:mkdir Kept\r"), (flagged, ":move Kept\r"),
            (lambda: self.names(user, "Kept"), ":quit\r")])
        equal(len(self.names(user)), 2, "mails in INBOX")
        check("\\Flagged" in self.subjects(user, "Kept")[0][1], "the flag of the mail that was moved")

    def run_in_terminal(self, command, folder, keys=(), **environment):
        """A program that wants a screen; its output is read and kept for the failure. Keys: what is to be on the screen or hold
        before they are typed, and they."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(folder)
            os.execve(command[0], command, dict(os.environ, HOME=str(folder), TERM="xterm", LC_ALL="C.UTF-8", LINES="40", COLUMNS="120",
                                                **environment))
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        seen, deadline, keys = b"", time.monotonic() + 40, list(keys)
        while time.monotonic() < deadline:
            ready, _, _ = select.select([terminal], [], [], 0.1 if keys else 1)
            try:
                piece = os.read(terminal, 65536) if ready else b"-"
            except OSError:
                break
            if not piece:
                break
            seen = (seen + piece if ready else seen)[-20000:]
            if keys and (keys[0][0]() if callable(keys[0][0]) else keys[0][0] in seen):
                os.write(terminal, keys.pop(0)[1].encode())
        else:
            e2e.kill(pid)
        os.close(terminal)
        status = os.waitpid(pid, 0)[1]
        equal(status, 0, f"{command[0]} ended with {e2e.short(seen[-1500:])}")

    def thunderbird(self):
        """In a virtual screen of its own; the password is typed into its dialogue, and what it keeps offline is looked at."""
        e2e.long_only("a package of 70 MB")
        thunderbird, _ = tool("thunderbird"), tool("xdotool")
        user, folder = self.begin("thunderbird")
        (folder / "profile").mkdir()
        server = {"hostname": "localhost", "realhostname": "localhost", "name": user, "port": self.instance.port("imap"), "type": "imap",
                  "userName": user, "socketType": 0, "authMethod": 3, "login_at_startup": True, "check_new_mail": True, "use_condstore": True,
                  "offline_download": True, "autosync_offline_stores": True}
        settings = {"mail.accountmanager.accounts": "account1", "mail.accountmanager.defaultaccount": "account1",
                    "mail.account.account1.identities": "id1", "mail.account.account1.server": "server1", "mail.identity.id1.useremail": user,
                    "mail.identity.id1.valid": True, "mail.provider.enabled": False, "mail.shell.checkDefaultClient": False,
                    "mail.spotlight.firstRunDone": True, "mailnews.start_page.enabled": False, "mail.rights.version": 1,
                    "datareporting.policy.dataSubmissionEnabled": False, "app.update.enabled": False,
                    "security.sandbox.content.level": 0, **{f"mail.server.server1.{name}": value for name, value in server.items()}}
        (folder / "profile/prefs.js").write_text("".join(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
                                                         for name, value in settings.items()))
        # no window manager is there to give the focus; a dialogue takes no keys in its first moment
        script = ("(while sleep 0.5; do xdotool search --onlyvisible --name 'Enter your password' windowfocus key ctrl+a && "
                  f"xdotool type {e2e.PASSWORD} && xdotool key Return; done) & exec {thunderbird} --profile {folder}/profile --no-remote")
        with self.desktop(folder, script, MOZ_DISABLE_CONTENT_SANDBOX="1"):
            self.thunderbird_keeps(folder, "Body 1", "Body 2", "Body 3")
            self.instance.deliver(user, mail(4))
            self.thunderbird_keeps(folder, "Body 4")

    @contextlib.contextmanager
    def desktop(self, folder, script, **environment):
        """A script in a virtual screen with a session bus of its own, and all that it begins; ended behind the block."""
        command = [tool("xvfb-run"), "-a", "-s", "-screen 0 1280x900x24", tool("dbus-run-session"), "--", "sh", "-c", script]
        (folder / "run").mkdir(mode=0o700)
        environment = dict(os.environ, HOME=str(folder), XDG_RUNTIME_DIR=str(folder / "run"), LC_ALL="C.UTF-8", GIO_USE_NETWORK_MONITOR="base",
                           LIBGL_ALWAYS_SOFTWARE="1", **environment)
        with open(folder / "out", "wb") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, env=environment,
                                                                 start_new_session=True) as client:
            try:
                yield
            finally:
                os.killpg(client.pid, signal.SIGTERM)

    def keyring(self, **attributes):
        """The beginning of a script: the password is in the user's keyring."""
        words = " ".join(f"{name.replace('__', ':').replace('_', '-')} {value}" for name, value in attributes.items())
        return (f"eval $(echo -n x | {tool('gnome-keyring-daemon')} --unlock --components=secrets --daemonize); "
                f"echo -n {e2e.PASSWORD} | {tool('secret-tool')} store --label=x {words}; ")

    def changes_elsewhere(self, user):
        """One is flagged, one goes, one comes."""
        with imap_transcript.log_in(self.instance, user) as client:
            client.command("SELECT INBOX")
            client.command(r"STORE 1 +FLAGS.SILENT (\Flagged)")
            client.command(r"STORE 2 +FLAGS.SILENT (\Deleted)")
            client.command("EXPUNGE")
        self.instance.deliver(user, mail(4))

    def thunderbird_keeps(self, folder, *bodies):
        kept = folder / "profile/ImapMail/localhost/INBOX"
        e2e.until(lambda: kept.exists() and all(body in kept.read_text() for body in bodies), f"{bodies} kept offline by Thunderbird", 60)

    def geary(self):
        """It keeps all mail offline, and learns in IDLE of what changes."""
        e2e.long_only("a desktop client")
        geary = tool("geary")
        user, folder = self.begin("geary")
        account = folder / ".config/geary/account_01"
        account.mkdir(parents=True)
        (account / "geary.ini").write_text(f"""[Metadata]
version=1
status=enabled
[Account]
label=x
ordinal=1
prefetch_days=-1
save_drafts=true
save_sent=true
service_provider=other
sender_mailboxes={user};
[Incoming]
login={user}
remember_password=true
credentials=custom
host=localhost
port={self.instance.port("imap")}
transport_security=none
[Outgoing]
remember_password=true
credentials=none
host=localhost
port={self.instance.port("smtp")}
transport_security=none
""")

        def kept():
            """Text and whether it is flagged, of all that it has of INBOX."""
            with contextlib.suppress(sqlite3.Error), contextlib.closing(
                    sqlite3.connect(f"file:{folder}/.local/share/geary/account_01/geary.db?mode=ro", uri=True)) as database:
                return sorted((body.split("\r")[0], "Flagged" in flags) for body, flags in database.execute(
                    "SELECT body, flags FROM MessageTable JOIN MessageLocationTable AS place ON place.message_id = MessageTable.id JOIN FolderTable"
                    " ON folder_id = FolderTable.id WHERE name = 'INBOX' AND NOT remove_marker AND body IS NOT NULL"))
            return []
        script = self.keyring(proto="IMAP", host="localhost", login=user, xdg__schema="org.gnome.Geary") + f"exec {geary}"
        with self.desktop(folder, script, WEBKIT_DISABLE_COMPOSITING_MODE="1"):
            e2e.until(lambda: kept() == [("Body 1", False), ("Body 2", False), ("Body 3", False)], "all mail is here", 60)
            self.changes_elsewhere(user)
            e2e.until(lambda: kept() == [("Body 1", True), ("Body 3", False), ("Body 4", False)], "the changes are here", 60)

    def evolution(self):
        """NOTIFY with QRESYNC and UTF8=ACCEPT; it keeps all mail offline."""
        e2e.long_only("a desktop client")
        evolution = tool("evolution")
        user, folder = self.begin("evolution")
        sources = folder / ".config/evolution/sources"
        sources.mkdir(parents=True)
        common = "[Data Source]\nDisplayName=x\nEnabled=true\nParent={}\n"
        (sources / "near.source").write_text(common.format("") + f"""[Mail Account]
BackendName=imapx
IdentityUid=who
[Authentication]
Host=localhost
Method=PLAIN
Port={self.instance.port("imap")}
RememberPassword=true
User={user}
[Security]
Method=none
[Offline]
StaySynchronized=true
[Imapx Backend]
UseIdle=true
UseQresync=true
""")
        (sources / "who.source").write_text(common.format("near") + f"[Mail Identity]\nAddress={user}\n[Mail Submission]\nTransportUid=out\n")
        (sources / "out.source").write_text(common.format("near") + "[Mail Transport]\nBackendName=smtp\n[Authentication]\nHost=localhost\n"
                                            f"Port={self.instance.port('submission')}\n")

        def kept():
            files = (folder / ".cache/evolution/mail/near/folders/INBOX").glob("cur/*/*")
            return sorted(text for path in files for text in re.findall(r"^Body \d", path.read_text(), re.MULTILINE))
        script = self.keyring(e_source_uid="near", eds_origin="evolution-data-server", xdg__schema="org.gnome.Evolution.Data.Source")
        with self.desktop(folder, script + f"exec {evolution} -c mail", WEBKIT_DISABLE_COMPOSITING_MODE="1"):
            e2e.until(lambda: kept() == ["Body 1", "Body 2", "Body 3"], "all mail is here", 60)
            self.changes_elsewhere(user)
            e2e.until(lambda: kept() == ["Body 1", "Body 3", "Body 4"], "the changes are here", 60)

    def alpine(self):
        e2e.long_only("its keys have pauses")
        alpine = tool("alpine")
        user, folder = self.begin("alpine")
        box = f'{{localhost:{self.instance.port("imap")}/notls/user="{user}"}}'
        (folder / ".pinerc").write_text(f"""inbox-path={box}INBOX
folder-collections=Far {box}[]
user-domain=example.test
feature-list=disable-password-file-saving,quit-without-confirm,expunge-without-confirm,enable-aggregate-command-set
last-version-used=6.26
""")

        def marked():
            return ("number 1", ["\\Deleted"]) in [(subject, [one for one in flags if one == "\\Deleted"]) for subject, flags in self.subjects(user)]
        self.run_in_terminal([alpine, "-p", str(folder / ".pinerc")], folder, keys=[
            (b"ENTER PASSWORD", e2e.PASSWORD + "\r"), (b"opened with", "I"), (b"number 3", "D"), (lambda: True, "S"), (b"to folder [", "Kept\r"),
            (b"[Yes]", "Y"), (lambda: marked() and self.names(user, "Kept"), "X"), (lambda: len(self.names(user)) == 1, "Q")])
        equal(self.names(user), ["number 3"], "INBOX")
        equal(self.names(user, "Kept"), ["number 2"], "the other mailbox")

    def imapfilter(self):
        imapfilter = tool("imapfilter")
        user, folder = self.begin("imapfilter")
        (folder / "rc").write_text(f"""
options.create = true
account = IMAP {{ server = 'localhost', port = {self.instance.port("imaps")}, username = '{user}', password = '{e2e.PASSWORD}', ssl = 'auto' }}
account.INBOX:contain_subject('number 1'):move_messages(account['Prüfung/Neu'])
account.INBOX:contain_body('Body 2'):mark_flagged()
found = account.INBOX:is_flagged() * account.INBOX:is_smaller(1000) + account.INBOX:match_header('Subject: .*3')
found:add_flags({{'Found'}})
account['Prüfung/Neu']:is_unseen():mark_seen()
""")
        self.run(imapfilter, "-c", "rc", "-t", self.instance.facts["ca"], folder=folder)
        equal(self.subjects(user), [("number 2", ["Found", "\\Flagged"]), ("number 3", ["Found"])], "INBOX")
        equal(self.subjects(user, "Pr&APw-fung/Neu"), [("number 1", ["\\Seen"])], "the mailbox that was made")

    def interimap(self):
        """Two accounts of this server kept alike, with QRESYNC."""
        interimap = tool("interimap")
        user, folder = self.begin("interimap")
        other = self.instance.fresh_user()
        (folder / "config").write_text(f"database = {folder}/state\n" + "".join(
            f"[{side}]\ntype = imap\nhost = 127.0.0.1\nport = {self.instance.port('imap')}\nusername = {account}\n"
            f"password = {e2e.PASSWORD}\nSTARTTLS = NO\nauth = LOGIN\n" for side, account in (("local", user), ("remote", other))))
        command = (interimap, "--config", folder / "config")
        folder.chmod(0o700)
        self.run(*command, folder=folder)
        equal(self.names(other), ["number 1", "number 2", "number 3"], "what came over")
        with imap_transcript.log_in(self.instance, user) as client:
            client.command("SELECT INBOX")
            client.command(r"STORE 1 +FLAGS.SILENT (\Deleted)")
            client.command("EXPUNGE")
            client.command("CREATE Pr&APw-fung")
        with imap_transcript.log_in(self.instance, other) as client:
            client.command("SELECT INBOX")
            client.command(r"STORE 3 +FLAGS.SILENT (\Flagged word)")
        self.instance.deliver(other, mail(4))
        self.run(*command, folder=folder)
        both = [("number 2", []), ("number 3", ["\\Flagged", "word"]), ("number 4", [])]
        equal((self.subjects(user), self.subjects(other)), (both, both), "after the changes on both sides")
        equal(self.names(other, "Pr&APw-fung"), [], "the new mailbox")

    def doveadm(self):
        """Dovecot's synchroniser with its IMAP client, imapc."""
        doveadm = tool("doveadm")
        user, folder = self.begin("doveadm")
        (folder / "dovecot.conf").write_text(f"""base_dir = {folder}/run
log_path = /dev/stderr
mail_location = mdbox:{folder}/mail
mail_home = {folder}/mail
imapc_host = 127.0.0.1
imapc_port = {self.instance.port("imap")}
imapc_user = {user}
imapc_password = {e2e.PASSWORD}
imapc_features = rfc822.size fetch-headers fetch-bodystructure search modseq
namespace inbox {{
 inbox = yes
 separator = /
}}
""")
        away = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups") if os.getuid() == 0 else ()
        if away:  # it serves nobody as root
            shutil.chown(folder, "nobody", "nogroup")
        command = (*away, doveadm, "-c", folder / "dovecot.conf")
        for number in (4, 5):
            self.run(*command, "backup", "-R", "imapc:", folder=folder, USER=user)
            got = self.run(*command, "fetch", "hdr.subject", "mailbox", "INBOX", folder=folder, USER=user)
            equal(re.findall("number .", got), [f"number {n}" for n in range(1, number)], "the mails here")
            self.instance.deliver(user, mail(number))
        there = (*command, "-o", "mail_location=imapc:")
        found = self.run(*there, "search", "mailbox", "INBOX", "body", "Body 4", folder=folder, USER=user)
        equal(len(re.findall("(?m)^[0-9a-f]{32} 4$", found)), 1, "found there by its body")
        self.run(*there, "flags", "add", "\\Flagged", "mailbox", "INBOX", "subject", "number 2", folder=folder, USER=user)
        self.run(*there, "move", "Trash", "mailbox", "INBOX", "subject", "number 1", folder=folder, USER=user)
        equal(self.subjects(user)[0], ("number 2", ["\\Flagged"]), "INBOX")
        equal(self.names(user, "Trash"), ["number 1"], "Trash")

    def fetchmail(self):
        fetchmail = tool("fetchmail")
        user, folder = self.begin("fetchmail")
        rc = folder / "rc"
        rc.write_text(f"""poll localhost protocol IMAP port {self.instance.port("imap")} no dns
user "{user}" password "{e2e.PASSWORD}" sslproto "TLS1.2+" sslcertck sslcertfile "{self.instance.facts["ca"]}"
fetchall keep mda "cat >> {folder}/got"
""")
        rc.chmod(0o600)
        self.run(fetchmail, "-f", rc, "--pidfile", folder / "pid", "--idfile", folder / "ids", folder=folder)
        got = (folder / "got").read_text()
        for number in (1, 2, 3):
            check(f"Subject: number {number}" in got and f"Body {number}" in got, f"mail {number} was fetched")
        equal([flags for _, flags in self.subjects(user)], [["\\Seen"]] * 3, "flags of what was kept")
        rc.write_text(rc.read_text().replace("keep", "nokeep"))
        self.run(fetchmail, "-f", rc, "--pidfile", folder / "pid", "--idfile", folder / "ids", folder=folder)
        equal(self.subjects(user), [], "what was not kept")

    def getmail(self):
        getmail = tool("getmail")
        user, folder = self.begin("getmail")
        for name in ("", "cur", "new", "tmp"):
            (folder / "mail" / name).mkdir(parents=True)
            if os.getuid() == 0:  # getmail delivers as anybody but root
                shutil.chown(folder / "mail" / name, "nobody", "nogroup")
        (folder / "rc").write_text(f"""[retriever]
type = SimpleIMAPSSLRetriever
server = localhost
port = {self.instance.port("imaps")}
username = {user}
password = {e2e.PASSWORD}
ca_certs = {self.instance.facts["ca"]}
mailboxes = ("INBOX",)
[destination]
type = Maildir
path = {folder}/mail/
{"user = nobody" if os.getuid() == 0 else ""}
[options]
delete = true
read_all = true
""")
        self.run(getmail, "--getmaildir", folder, "--rcfile", "rc", folder=folder)
        got = sorted(re.search(rb"Subject: (.*)", path.read_bytes())[1].decode() for path in (folder / "mail/new").iterdir())
        equal(got, ["number 1", "number 2", "number 3"], "what was fetched")
        equal(self.subjects(user), [], "what is left")

    def offlineimap(self):
        offlineimap = tool("offlineimap")
        user, folder = self.begin("offlineimap")
        (folder / "rc").write_text(f"""[general]
accounts = a
metadata = {folder}/state
ui = basic
[Account a]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {folder}/mail
[Repository far]
type = IMAP
remotehost = localhost
remoteport = {self.instance.port("imaps")}
ssl = yes
sslcacertfile = {self.instance.facts["ca"]}
remoteuser = {user}
remotepass = {e2e.PASSWORD}
""")
        command = (offlineimap, "-c", "rc", "-o")
        self.run(*command, folder=folder)
        here = sorted((folder / "mail/INBOX").glob("[cn]*/*"), key=lambda path: re.search(rb"Subject: .*", path.read_bytes())[0])
        equal(len(here), 3, "mails here")
        here[0].unlink()
        seen = here[1].parent.parent / "cur" / (here[1].name.split(":")[0] + ":2,S")
        here[1].rename(seen)
        (folder / "mail/INBOX/new/4.new.host").write_bytes(mail(4).replace(b"\r\n", b"\n"))
        with imap_transcript.log_in(self.instance, user) as client:
            client.command("CREATE Later")
        self.run(*command, folder=folder)
        equal(self.subjects(user), [("number 2", ["\\Seen"]), ("number 3", []), ("number 4", [])], "there")
        check((folder / "mail/Later/cur").is_dir(), "the new mailbox is here, too")

    def perl(self):
        perl = tool("perl")
        found = subprocess.run([perl, "-MMail::IMAPClient", "-e", "1"], capture_output=True, check=False)
        if found.returncode != 0:
            e2e.skip("Mail::IMAPClient is not installed")
        user = self.instance.fresh_user()
        with imap_transcript.log_in(self.instance, user) as client:
            for number in (1, 2, 3):
                text = f"Subject: mail {number}\r\n\r\nThis is mail {number}.\r\n"
                client.command(f"APPEND INBOX {{{len(text)}+}}\r\n{text}")
        folder = self.root / "perl"
        folder.mkdir()
        check("all is well" in self.run(perl, "-e", PERL, self.instance.port("imap"), user, e2e.PASSWORD, folder=folder), "perl")


def main():
    wanted = sys.argv[1:]
    with e2e.Instance(accounts=("user%d:20",)) as instance:
        tests = Tests(instance)
        tests_of_all = [("imaplib", tests.imaplib_clear), ("imaplib, STARTTLS", tests.imaplib_starttls), ("imaplib, TLS", tests.imaplib_tls),
                        ("curl", tests.curl), ("mbsync", tests.mbsync), ("neomutt", tests.neomutt), ("mutt", tests.mutt_itself), ("aerc", tests.aerc),
                        ("fetchmail", tests.fetchmail), ("getmail", tests.getmail), ("offlineimap", tests.offlineimap),
                        ("imapfilter", tests.imapfilter), ("interimap", tests.interimap), ("doveadm", tests.doveadm),
                        ("Mail::IMAPClient", tests.perl), ("Alpine", tests.alpine), ("Thunderbird", tests.thunderbird),
                        ("Geary", tests.geary), ("Evolution", tests.evolution)]
        e2e.run([test for test in tests_of_all if not wanted or test[0] in wanted])


main()
