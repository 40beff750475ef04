#!/usr/bin/env python3
"""Do the fuzz targets find bugs? A known one is planted into a copy of each parser, and its target must find it.

    tests/planted_bugs.py [TARGET...]        prints TAP; needs clang; part of ./test --long

A target that finds nothing within a minute asserts too little or does not reach the code.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS = 60

# target, file, what stands there, the bug in its place
BUGS = [
    ("lib/smtp/smtp_command", "lib/smtp/smtp_command.c", "while (argument.length && argument.data[argument.length - 1] == ' ')",
     "while (argument.data[argument.length - 1] == ' ')"),
    ("lib/smtp/smtp_data", "lib/smtp/smtp_data.c", "for (; length - done > 64 && done", "for (; length - done >= 64 && done"),
    ("lib/smtp/smtp_path", "lib/smtp/smtp_path.c", "if (c < 0x20 || c == 0x7f ||", "if (c == 0x7f ||"),
    ("daemons/smtpd/smtpd_session", "daemons/smtpd/content.c", "txn->begun = txn->begun && kind != VERDICT_OK;",
     "txn->begun = txn->begun && kind == VERDICT_OK;"),
    ("daemons/smtpd/smtpd_session", "daemons/smtpd/transaction.c", "recipients.count >= session_config(s)->recipients_max",
     "recipients.count > session_config(s)->recipients_max"),
    ("lib/pop3/pop3_command", "lib/pop3/command.c", "if (c->command->argument_count == c->info->arguments_max)",
     "if (c->command->argument_count == c->info->arguments_max + 1)"),
    ("lib/mail/address", "lib/mail/address.c", "if (s.data[i] == '\\\\' && i + 1 < s.length)", "if (s.data[i] == '\\\\' && i + 1 <= s.length)"),
    ("lib/mail/header", "lib/mail/header.c", "while (i < line.length && is_blank(line.data[i]))", "while (i <= line.length && is_blank(line.data[i]))"),
    ("lib/mail/message", "lib/mail/boundary.c", "for (size_t i = 0; i < rest.length && i < stack->longest; i++) {",
     "for (size_t i = 0; i < stack->longest; i++) {"),
    ("lib/mail/reencode", "lib/mail/transfer.c", "(c == '-' && e->column == LINE_LENGTH - 1)", "(c == '-' && e->column == LINE_LENGTH)"),
    ("lib/ipc/ipc", "lib/ipc/messages.c", "length > r->rest.length", "length > r->rest.length + 1"),
    ("lib/journal/journal", "lib/journal/journal_scan.c", "payload, (struct str){}) == head->payload_check;", "payload, (struct str){}) != 0;"),
    ("daemons/queue/queue_results", "daemons/queue/results.c", "if (!d || d->account || delivery_is_final(d))", "if (!d || d->account)"),
    ("lib/store/segment", "lib/store/segment.c", "if (bytes.length < SEGMENT_FRAME_SIZE)", "if (bytes.length < SEGMENT_FRAME_SIZE - 1)"),
    ("lib/config/config", "lib/config/syntax.c", "for (; i < r->rest.length && r->rest.data[i] != '\"'; i++) {",
     "for (; i <= r->rest.length && r->rest.data[i] != '\"'; i++) {"),
    ("lib/imap/imap_parse", "lib/imap/imap_parse.c", "return at_end(p) ? '\\0' : p->text.data[p->at];", "return p->text.data[p->at];"),
    ("lib/dns/dns", "lib/dns/dns_pack.c", "r->failed |= part.length != length;", "r->failed |= part.length > length;"),
]


def copy_of_the_source(folder):
    files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in files.stdout.decode().split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def configure(folder):
    subprocess.run(["meson", "setup", "build", "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dfuzzers=true",
                    "-Dc_args=-fsanitize=fuzzer-no-link"], cwd=folder, env=dict(os.environ, CC="clang"), capture_output=True, check=True)


def fuzz(folder, target):
    """What the target said when it found something, or None."""
    found, corpus, words = folder / "found", folder / f"{target}_corpus", []
    found.mkdir(exist_ok=True)
    if (folder / f"{target}.dict").exists():
        words.append(f"-dict={target}.dict")
    if corpus.exists():
        words.append(str(corpus))
    command = [f"build/{target}_fuzz", f"-max_total_time={SECONDS}", "-timeout=10", "-rss_limit_mb=2048", f"-artifact_prefix={found}/", *words]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False, timeout=SECONDS * 3)
    return ran.stderr if ran.returncode else None


def try_bug(folder, target, name, good, bad):
    file = folder / name
    source = file.read_text()
    if good not in source:
        return f"{name} has no longer: {good}"
    file.write_text(source.replace(good, bad, 1))
    try:
        built = subprocess.run(["ninja", "-C", "build", f"{target}_fuzz"], cwd=folder, capture_output=True, text=True, check=False)
        if built.returncode:
            return "it does not build: " + built.stdout[-2000:]
        return None if fuzz(folder, target) else f"nothing was found in {SECONDS} s"
    finally:
        file.write_text(source)


def main():
    bugs = [b for b in BUGS if len(sys.argv) < 2 or b[0].rsplit("/", 1)[-1] in sys.argv[1:]]
    failed = False
    print(f"1..{len(bugs)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="posthorn-planted-") as place:
        folder = pathlib.Path(place)
        copy_of_the_source(folder)
        configure(folder)
        for number, (target, name, good, bad) in enumerate(bugs, 1):
            why = try_bug(folder, target, name, good, bad)
            failed |= why is not None
            print(f"{'not ok' if why else 'ok'} {number} - the fuzz target of {target} finds a bug in {name}", flush=True)
            for line in (why or "").splitlines():
                print(f"# {line}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
