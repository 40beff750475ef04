"""Every command of IMAP in every state, and with arguments that are missing, wrong or too many: a tagged BAD, and the session goes on.

run(instance) is called by imap_e2e.py.
"""
import imap_transcript
from e2e import check, equal

BEFORE, INSIDE, SELECTED = 1, 2, 4
ANY, LOGGED_IN = BEFORE | INSIDE | SELECTED, INSIDE | SELECTED
MANY_ERRORS = 15

# command → states, what it may be called with, what it must not be called with
COMMANDS = {
    "APPEND": (LOGGED_IN, "INBOX {1+}\r\nx", ("", "INBOX", "INBOX x", 'INBOX "x"', "INBOX (\\Seen", "INBOX (\\Nope) {1+}\r\nx", 'INBOX "01-Jan-2020" {1+}\r\nx',
               'INBOX "32-Jan-2020 00:00:00 +0000" {1+}\r\nx', 'INBOX () "01-Jan-2020 00:00:00 +0000" () {1+}\r\nx', "INBOX {1+}\r\nx x", "INBOX NIL {1+}\r\nx", "INBOX CATENATE ()")),
    "AUTHENTICATE": (BEFORE, "PLAIN *", ("", "(", '"PLAIN"', "PLAIN = x")),
    "CANCELUPDATE": (SELECTED, '"x"', ("", "x", '"x" y')),
    "CAPABILITY": (ANY, "", ("x",)),
    "CHECK": (SELECTED, "", ("x",)),
    "CLOSE": (SELECTED, "", ("x",)),
    "COMPARATOR": (LOGGED_IN, "", ("(x)", '"x')),
    "COMPRESS": (LOGGED_IN, "DEFLATE", ("", "DEFLATE x", "(DEFLATE)")),
    "COPY": (SELECTED, "1 INBOX", ("", "1", "x INBOX", "1 INBOX x", "1 (INBOX)", "0 INBOX", "1: INBOX", "1,,1 INBOX", "4294967296 INBOX")),
    "CREATE": (LOGGED_IN, "a", ("", "a b", "a (x)", "a (USE)", "a (USE (\\Sent", "(a)", "%", "*", 'a (USE ("\\Sent"))')),
    "DELETE": (LOGGED_IN, "a", ("", "a b", "(a)", "%")),
    "ENABLE": (LOGGED_IN, "x", ("", "(CONDSTORE)", "CONDSTORE ", "x  y", '"x"')),
    "EXAMINE": (LOGGED_IN, "INBOX", ("", "INBOX x", "INBOX (NOPE)", "INBOX ()", "(INBOX)")),
    "EXPUNGE": (SELECTED, "", ("x", "1")),
    "UID EXPUNGE": (SELECTED, "1", ("", "x", "1 x", "0", "1:", "1 ")),
    "FETCH": (SELECTED, "1 FLAGS", ("", "1", "x FLAGS", "0 FLAGS", "1:0 FLAGS", "1: FLAGS", "1,,1 FLAGS", "1 NOPE", "1 (FLAGS", "1 ()", "1 FLAGS x", "1 ALL FLAGS", "1 (FLAGS FULL)", "1 BODY[",
              "1 BODY[NOPE]", "1 BODY[0]", "1 BODY[1.]", "1 BODY[MIME]", "1 BODY[HEADER.FIELDS]", "1 BODY[HEADER.FIELDS ()]", "1 BODY[]<1>", "1 BODY[]<0.0>", "1 BODY[]<-1.1>", "1 BODY[]<1.",
              "1 RFC822.PEEK", "1 BODY.PEEK", "1 BINARY.SIZE[1]<0.1>", "1 FLAGS ()", "1 FLAGS (CHANGEDSINCE)", "1 FLAGS (CHANGEDSINCE x)", "1 FLAGS (VANISHED)", "1 PREVIEW (NOPE)")),
    "GETMETADATA": (LOGGED_IN, "INBOX /shared/comment", ("", "INBOX", "INBOX x", "INBOX ()", "INBOX (/shared/comment", "(MAXSIZE) INBOX /shared/comment", "(DEPTH 2) INBOX /shared/comment",
                    "INBOX /shared/comment x", "INBOX /nope/comment", "INBOX /shared/*")),
    "GETQUOTA": (LOGGED_IN, '""', ("", '"" x', "()")),
    "GETQUOTAROOT": (LOGGED_IN, "INBOX", ("", "INBOX x", "(INBOX)")),
    "ID": (ANY, "NIL", ("", "(", "x", '("a")', '("a" "b" "c")', '(NIL "a")', "NIL x")),
    "IDLE": (LOGGED_IN, None, ("x",)),
    "LANGUAGE": (ANY, "", ("(en)", '"en')),
    "LIST": (LOGGED_IN, '"" *', ("", '""', '"" * x', '"" * RETURN', '"" * RETURN (NOPE)', '"" * RETURN ()x', '(NOPE) "" *', '(RECURSIVEMATCH) "" *', '(SUBSCRIBED "" *', '"" (', '"" ()x',
             '"" * RETURN (STATUS)', '"" * RETURN (STATUS ())', '"" * RETURN (METADATA ())', '() "" *x (')),
    "LOGIN": (BEFORE, "a b", ("", "a", "a b c", "(a) b", "a  b", '"a', 'a ""x')),
    "LOGOUT": (ANY, None, ("x",)),
    "LSUB": (LOGGED_IN, '"" *', ("", '""', '"" * x', '"" (*)')),
    "MOVE": (SELECTED, "9:10 INBOX", ("", "1", "x INBOX", "1 INBOX x", "1 (INBOX)", "0 INBOX")),
    "NAMESPACE": (LOGGED_IN, "", ("x",)),
    "NOOP": (ANY, "", ("x", " ")),
    "NOTIFY": (LOGGED_IN, "NONE", ("", "SET", "NONE x", "SET ()", "SET (personal)", "SET (nope (MessageNew))", "SET (selected (MessageNew))", "SET (personal (MessageNew MessageExpunge)")),
    "RENAME": (LOGGED_IN, "x y", ("", "a", "a b c", "a (b)", "a %")),
    "REPLACE": (SELECTED, "1 nothing {1+}\r\nx", ("", "1", "1 INBOX", "x INBOX {1+}\r\nx", "1:2 INBOX {1+}\r\nx", "1 INBOX {1+}\r\nx y", "1 (INBOX) {1+}\r\nx")),
    "SEARCH": (SELECTED, "ALL", ("", "NOPE", "ALL x", "NOT", "OR ALL", "(ALL", "()", "ALL)", "BEFORE", "BEFORE 32-Jan-2020", "BEFORE 1-Foo-2020", "HEADER x", "LARGER", "LARGER x", "LARGER -1",
               "KEYWORD", "KEYWORD \\Seen", "UID", "UID x", "0", "RETURN ALL", "RETURN (NOPE) ALL", "RETURN (ALL", "CHARSET ALL", "CHARSET", "MODSEQ", "MODSEQ -1", "OLDER 0", "FILTER")),
    "SELECT": (LOGGED_IN, "INBOX", ("", "INBOX x", "INBOX (", "INBOX (NOPE)", "INBOX ()", "(INBOX)", "%", "IN*BOX", "INBOX (CONDSTORE x)", "INBOX (QRESYNC)", "INBOX (QRESYNC ())",
               "INBOX (QRESYNC (1 1))")),
    "SETMETADATA": (LOGGED_IN, "INBOX (/shared/comment NIL)", ("", "INBOX", "INBOX ()", "INBOX (/shared/comment)", "INBOX (/shared/comment x)", 'INBOX (/shared/comment "x") y',
                    'INBOX /shared/comment "x"', 'INBOX (/shared/% "x")', 'INBOX (/shared "x")')),
    "SETQUOTA": (LOGGED_IN, '"" ()', ("", '""', '"" (STORAGE)', '"" (STORAGE -1)', '"" (STORAGE x)', '"" STORAGE 1', '"" () x')),
    "SORT": (SELECTED, "(DATE) UTF-8 ALL", ("", "(DATE)", "(DATE) UTF-8", "() UTF-8 ALL", "(NOPE) UTF-8 ALL", "DATE UTF-8 ALL", "(REVERSE) UTF-8 ALL", "(DATE) UTF-8 ALL)")),
    "STARTTLS": (BEFORE, None, ("x",)),
    "STATUS": (LOGGED_IN, "INBOX (MESSAGES)", ("", "INBOX", "INBOX MESSAGES", "INBOX ()", "INBOX (NOPE)", "INBOX (MESSAGES) x", "INBOX (MESSAGES", "(INBOX) (MESSAGES)")),
    "STORE": (SELECTED, "1 +FLAGS (\\Seen)", ("", "1", "1 FLAGS", "1 FLAGS (\\Nope)", "1 NOPE (\\Seen)", "1 +FLAGS (\\Seen) x", "1 +FLAGS (\\Seen", "1 (UNCHANGEDSINCE) FLAGS ()", "1 (NOPE 1) FLAGS ()",
              "0 FLAGS ()", "x FLAGS ()", "1 FLAGS.SILENTX ()", "1 +FLAGS ((a))", '1 +FLAGS ("a")', "1 +FLAGS (a*b)", "1 +FLAGS (\\*)")),
    "SUBSCRIBE": (LOGGED_IN, "INBOX", ("", "INBOX x", "(INBOX)")),
    "THREAD": (SELECTED, "REFERENCES UTF-8 ALL", ("", "REFERENCES", "REFERENCES UTF-8", "NOPE UTF-8 ALL", "(REFERENCES) UTF-8 ALL", "REFERENCES UTF-8 ALL)")),
    "UNAUTHENTICATE": (LOGGED_IN, None, ("x",)),
    "UNSELECT": (SELECTED, "", ("x",)),
    "UNSUBSCRIBE": (LOGGED_IN, "INBOX", ("", "INBOX x", "(INBOX)")),
    "UID FETCH": (SELECTED, "1 FLAGS", ("", "1", "x FLAGS", "0 FLAGS", "1 FLAGS x", "1 FLAGS (VANISHED)", "1 FLAGS (PARTIAL 0:1)", "1 FLAGS (PARTIAL 1:*)")),
    "UID SEARCH": (SELECTED, "ALL", ("", "NOPE", "UID 0")),
    "UID STORE": (SELECTED, "1 FLAGS ()", ("", "1", "1 FLAGS ((a))")),
    "UID NOOP": (0, None, ("",)),
    "UID": (0, None, ("", "x", "UID FETCH 1 FLAGS")),
    "XNOPE": (0, None, ("", "x")),
}


def line(command, argument):
    return f"{command} {argument}" if argument else command


def refused(client, text, where):
    _, answer = client.command(text)
    check(answer is not None and answer.startswith("BAD "), f"{text!r} {where}: {answer}")
    _, answer = client.command("NOOP")
    check(answer is not None and answer.startswith("OK "), f"NOOP behind {text!r} {where}: {answer}")


def wrong_states(client, state, where):
    for command, (states, good, wrong) in COMMANDS.items():
        if states and not states & state:
            refused(client, line(command, wrong[0] if good is None else good), where)


def before_log_in(instance):
    """There the number of bad commands in all is limited, but for those of another state."""
    with imap_transcript.connect(instance) as client:
        client.response()
        wrong_states(client, BEFORE, "before log-in")
    bad = [line(command, argument) for command, (states, _, wrong) in COMMANDS.items() if states & BEFORE for argument in wrong]
    for start in range(0, len(bad), MANY_ERRORS):
        with imap_transcript.connect(instance) as client:
            client.response()
            for text in bad[start:start + MANY_ERRORS]:
                refused(client, text, "before log-in")


def inside(instance, user):
    with imap_transcript.log_in(instance, user) as client:
        wrong_states(client, INSIDE, "after log-in")
        for command, (states, _, wrong) in COMMANDS.items():
            for argument in wrong if states & INSIDE else ():
                refused(client, line(command, argument), "after log-in")
    with imap_transcript.log_in(instance, user) as client:
        client.command("APPEND INBOX {1+}\r\nx")
        for command, (_, _, wrong) in COMMANDS.items():
            for argument in wrong:
                client.command("SELECT INBOX")
                refused(client, line(command, argument), "in a mailbox")
        client.command("SELECT INBOX")
        wrong_states(client, SELECTED, "in a mailbox")
        untagged, _ = client.command("STATUS INBOX (MESSAGES)")
        equal(untagged, ["* STATUS INBOX (MESSAGES 1)"], "what the bad commands left")


def run(instance):
    before_log_in(instance)
    inside(instance, instance.fresh_user())
