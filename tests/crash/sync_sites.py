#!/usr/bin/env python3
"""Each function that makes something durable, and the case of tests/crash that fails when it is taken out (nosync.c).

  sync_sites.py SOURCE

A function that is not named below, a name that stands for none, and a case that is no test any more are failures: so none is forgotten.
"""
import pathlib, re, sys

SYNC = re.compile(r"\b(fsync|fdatasync|syncfs|sync_file_range|msync|disk_sync_directory)\(|\bO_D?SYNC\b|PRAGMA synchronous=(FULL|NORMAL)")
FUNCTION = re.compile(r"^[A-Za-z].*?\b(\w+)\([^;]*$")

# file: function → case
CASES = {
    "lib/journal/disk.c": {"disk_sync_directory": "spool-without-spool"},
    "lib/journal/journal.c": {"write_slot": "power-without-journal", "write_plan": "power-without-journal"},
    "lib/journal/journal_file.c": {
        "write_new": "power-without-journal", "create_at": "power-without-spool", "journal_remove": "power-without-spool"},
    "lib/journal/spoolfile.c": {
        "rename_named": "spool-without-spool", "spoolfile_body_finish": "spool-without-body", "write_part": "spool-without-message",
        "write_log": "spool-without-attempts"},
    "lib/store/segments.c": {"segments_sync": "power-without-segment power-without-seg"},
    "lib/store/schema.c": {"schema_configure": "power-without-wal"},
    "lib/store/store.c": {"prepare_writer": "power-without-wal"},
    "lib/store/version.c": {"version_write": "power-without-version", "make": "power-without-account"},
    "lib/directory/directory.c": {"": "care-without-directory"},
    "daemons/queue/keys.c": {"open_domain": "care-without-key", "flush_folder": "care-without-key", "write_file": "care-without-key"},
    "daemons/queue/schedule.c": {"schedule_keep_marks": "care-without-spool"},
    "daemons/queue/trim.c": {"run_sync": "whole-without-syncfs power-without-trim-order"},
    "daemons/mailbox/repair.c": {"mark": "care-without-account", "unmark": "care-without-account"},
    "lib/os/file.c": {"sync_parent": "saved-without-folders"},
    "clients/common/mail_file.c": {"sync_file": "saved-without-mail saved-without-folder"},
    "clients/ctl/ctl_archive_backup.c": {"new_file_end": "care-without-backup", "sync_folder_of": "care-without-account"},
}

# file: function → what is lost without it, where it is nothing that a client or an administrator was promised to keep, or is shown elsewhere
REASONS = {
    "lib/store/backup.c": {
        "copy_segment": "a copy that posthornctl reads at once and the account removes; the archive has a sync of its own",
        "sync_directories": "the same"},
    "lib/store/text_files.c": {"text_files_unlink": "search text: it is made again"},
    "daemons/mailbox/account.c": {"keep_name": "power_world.c does the same for its accounts, and power-without-accounts misses it there"},
    "daemons/queue/results.c": {
        "results_sync": "mail that left in the last second is sent again", "load_file": "the same"},
    "daemons/queue/spool.c": {"rename_damaged": "what is damaged is found again, and set aside again"},
    "daemons/queue/state.c": {"": "SQLite's own promise; state.db says what may be lost"},
    "clients/ctl/ctl_archive_sink.c": {"ctl_sink_finish": "an export whose command did not end"},
}


def sites(source):
    """(file, function) of each sync, the function "" outside of one."""
    for folder in ("lib", "daemons", "clients"):
        for path in sorted((source / folder).rglob("*.c")):
            function = ""
            if path.stem.rsplit("_", 1)[-1] in ("test", "fuzz", "bench"):
                continue
            for line in path.read_text().splitlines():
                begins = FUNCTION.match(line)
                function = begins[1] if begins else "" if line == "}" else function
                if SYNC.search(line):
                    yield str(path.relative_to(source)), function


def cases(source):
    """The names of all tests of this folder."""
    for names, prefix in re.findall(r"foreach case : \[(.*?)\]\s*test\('crash/([a-z-]*)'", (source / "tests/crash/meson.build").read_text(), re.S):
        yield from (prefix + name for name in re.findall(r"'([^']+)'", names))


def faults(source):
    found, known = set(sites(source)), set(cases(source))
    told = {(file, function): case for file, functions in CASES.items() for function, case in functions.items()}
    excused = {(file, function) for file, functions in REASONS.items() for function in functions}
    yield from (f"{file}: {function}: nothing shows that its sync is needed" for file, function in sorted(found - set(told) - excused))
    yield from (f"{file}: {function} syncs nothing" for file, function in sorted((set(told) | excused) - found))
    yield from (f"{file}: {function} is excused, and has a case" for file, function in sorted(set(told) & excused))
    yield from (f"there is no case {name}" for case in told.values() for name in case.split() if name not in known)


def main(source):
    wrong = list(faults(pathlib.Path(source)))
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
