"""What store_power promised by its marks, compared with what it finds afterwards (the head of store_power.c has both)."""


class Mail:
    """One mail in one account: what was promised of it."""

    def __init__(self):
        self.there = self.gone = False      # acknowledged, expunge acknowledged
        self.maybe_gone = self.moving = False
        self.place = self.id = None         # as told
        self.flags = None                   # those that may be found; None: any


class Promises:
    def __init__(self, marks):
        self.mails, self.used, self.mailboxes, self.deleted = {}, {}, {}, set()
        self.uid, self.modseq = {}, {}      # the highest that was told, of a mailbox and of an account
        self.annotations = {}               # (account, entry): the values that may be found; "-": none
        self.replaced = []                  # (account, old, new): in one transaction
        self.last_replaced = {}             # (account, old): new, when nothing was done to the old one afterwards
        for line in marks:
            verb, *words = line.split()
            getattr(self, "on_" + verb)(*words)

    def mail(self, account, number):
        return self.mails.setdefault((int(account), int(number)), Mail())

    def note(self, account, box, uid, modseq):
        key = int(account), *box
        self.uid[key] = max(self.uid.get(key, 0), uid)
        self.modseq[int(account)] = max(self.modseq.get(int(account), 0), modseq)

    def on_acked(self, number, recipients):
        for account in range(8):
            if int(recipients) >> account & 1:
                self.mail(account + 1, number).there = True

    def on_told(self, account, number, box, validity, uid, identity, flags):
        mail, box = self.mail(account, number), (int(box), int(validity))
        mail.there, mail.moving, mail.id, mail.place = True, False, identity, (*box, int(uid))
        mail.flags = {int(flags)}
        self.used[int(account), *mail.place] = int(number)
        self.note(account, box, int(uid), 0)

    def on_state(self, account, box, validity, uidnext, modseq):
        self.note(account, (int(box), int(validity)), int(uidnext) - 1, int(modseq))

    def on_flagging(self, account, number, flags):
        mail = self.mail(account, number)
        if mail.flags is not None:
            mail.flags.add(int(flags))

    def on_flagged(self, account, number, flags, modseq):
        self.mail(account, number).flags = {int(flags)}
        self.modseq[int(account)] = max(self.modseq.get(int(account), 0), int(modseq))

    def on_expunging(self, account, number):
        self.last_replaced.pop((int(account), int(number)), None)
        self.mail(account, number).maybe_gone = True

    def on_expunged(self, account, number, modseq):
        self.mail(account, number).gone = True
        self.modseq[int(account)] = max(self.modseq.get(int(account), 0), int(modseq))

    def on_replacing(self, account, old, new):
        self.replaced.append((int(account), int(old), int(new)))
        self.last_replaced[int(account), int(old)] = int(new)

    def on_annotating(self, account, entry, value):
        self.annotations.setdefault((int(account), entry), {"-"}).add(value)

    def on_annotated(self, account, entry, value):
        self.annotations[int(account), entry] = {value}

    def on_moving(self, account, number):
        self.mail(account, number).moving = True

    def on_created(self, account, box, validity, name):
        self.mailboxes[int(account), int(box)] = int(validity), name

    def on_deleting(self, account, box):
        self.mailboxes.pop((int(account), int(box)), None)

    def on_deleted(self, account, box):
        self.deleted.add((int(account), int(box)))

    def broken(self, report):
        """Yields a text for each promise that what was found breaks."""
        found, boxes, annotations = {}, {}, {}
        for line in report:
            verb, *words = line.split()
            if verb == "damage":
                # a file whose commit never came; that no acknowledged mail is in it alone is seen by the mails
                if "is named by no row" not in line:
                    yield line
            elif verb == "mailbox":
                account, box, validity, uidnext, modseq, name = words
                boxes[int(account), int(box)] = int(validity), name
                yield from self.check_counters(line, int(account), (int(box), int(validity)), int(uidnext) - 1)
            elif verb == "mail":
                yield from self.check_mail(line, found, *words)
            elif verb == "annotation":
                annotations[int(words[0]), words[1]] = words[2]
            elif verb == "new":
                account, box, validity, uid, modseq = map(int, words)
                yield from self.check_new(line, account, (box, validity), uid, modseq)
        for (account, number), mail in self.mails.items():
            if mail.there and not mail.maybe_gone and (account, number) not in found:
                yield f"mail {number} of account {account} is lost"
        for key, value in self.mailboxes.items():
            if boxes.get(key) != value:
                yield f"mailbox {key} should be {value}, is {boxes.get(key)}"
        for key, values in self.annotations.items():
            if annotations.get(key, "-") not in values:
                yield f"annotation {key} is {annotations.get(key)}, should be one of {values}"
        for account, old, new in self.replaced:
            if (account, old) in found and (account, new) in found:
                yield f"mail {old} of account {account} was replaced by {new}, both are there"
        for (account, old), new in self.last_replaced.items():
            if (account, old) not in found and (account, new) not in found and not self.mail(account, new).maybe_gone:
                yield f"mail {old} of account {account} was replaced by {new}, neither is there"
        for key in self.deleted & boxes.keys():
            yield f"mailbox {key} was deleted"

    def check_counters(self, line, account, box, uid):
        if uid < self.uid.get((account, *box), 0):
            yield f"UIDs will be used again: {line}"

    def check_new(self, line, account, box, uid, modseq):
        if uid <= self.uid.get((account, *box), 0):
            yield f"a UID is used again: {line}, {self.uid[account, *box]} was told"
        if modseq <= self.modseq.get(account, 0):
            yield f"a MODSEQ is used again: {line}, {self.modseq[account]} was told"

    def check_mail(self, line, found, account, number, box, validity, uid, identity, flags, _):
        account, number, place = int(account), int(number), (int(box), int(validity), int(uid))
        mail = self.mails.get((account, number), Mail())
        if number == 0:
            yield f"wrong octets: {line}"
        if (account, number) in found:
            yield f"doubled: {line} and {found[account, number]}"
        found[account, number] = line
        if mail.gone:
            yield f"came back: {line}"
        if self.used.get((account, *place), number) != number:
            yield f"a UID names another mail: {line}"
        if mail.id not in (None, identity):
            yield f"another id: {line}, was {mail.id}"
        if mail.place and not mail.moving and mail.place != place:
            yield f"at another place: {line}, was {mail.place}"
        if mail.flags is not None and int(flags) not in mail.flags:
            yield f"other flags: {line}, should be {mail.flags}"
