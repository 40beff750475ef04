"""The form of DMARC aggregate reports: which elements, how often, in which order, and what is in them (RFC 9990 §3.1.1 and its schema)."""
import re

NAMESPACE = "{urn:ietf:params:xml:ns:dmarc-2.0}"
TIMES = {"1": (1, 1), "?": (0, 1), "*": (0, 1 << 30), "+": (1, 1 << 30)}
TEXT, NUMBER, NAME = r"(?s).*", r"[0-9]+", r"[\w.-]+"
POLICY = r"none|quarantine|reject"
MODE, PASS_OR_FAIL = r"[rs]", r"pass|fail"
DKIM_RESULT = r"none|pass|fail|policy|neutral|temperror|permerror"
REASON = r"local_policy|mailing_list|other|policy_test_mode|trusted_forwarder"

# An element is a pattern, or whether its children stand in this order, and these: name → how often, and what it is.
METADATA = (False, {"org_name": ("1", TEXT), "email": ("1", TEXT), "extra_contact_info": ("?", TEXT), "report_id": ("1", r"<?[\w!#$%&'*+/=?^`{|}~.-]+(@[\w.-]+)?>?"),
                    "date_range": ("1", (False, {"begin": ("1", NUMBER), "end": ("1", NUMBER)})), "error": ("?", TEXT), "generator": ("?", TEXT)})
PUBLISHED = (False, {"domain": ("1", NAME), "discovery_method": ("?", r"psl|treewalk"), "p": ("1", POLICY), "sp": ("?", POLICY), "np": ("?", POLICY),
                     "fo": ("?", r"[01ds](:[01ds])*"), "adkim": ("?", MODE), "aspf": ("?", MODE), "testing": ("?", r"[ny]")})
EVALUATED = (True, {"disposition": ("1", r"none|pass|quarantine|reject"), "dkim": ("1", PASS_OR_FAIL), "spf": ("1", PASS_OR_FAIL),
                    "reason": ("*", (False, {"type": ("1", REASON), "comment": ("?", TEXT)}))})
RESULTS = (True, {"dkim": ("*", (False, {"domain": ("1", NAME), "selector": ("1", NAME), "result": ("1", DKIM_RESULT), "human_result": ("?", TEXT)})),
                  "spf": ("?", (False, {"domain": ("1", NAME), "scope": ("?", "mfrom"), "result": ("1", f"softfail|{DKIM_RESULT}"), "human_result": ("?", TEXT)}))})
RECORD = (True, {"row": ("1", (False, {"source_ip": ("1", r"[0-9a-fA-F:.]+"), "count": ("1", NUMBER), "policy_evaluated": ("1", EVALUATED)})),
                 "identifiers": ("1", (False, {"header_from": ("1", NAME), "envelope_from": ("?", r"[\w.-]*"), "envelope_to": ("?", NAME)})),
                 "auth_results": ("1", RESULTS)})
FEEDBACK = (True, {"version": ("?", r"1\.0"), "report_metadata": ("1", METADATA), "policy_published": ("1", PUBLISHED), "extension": ("?", TEXT),
                   "record": ("+", RECORD)})


def misfits(element, form=FEEDBACK, path="feedback"):
    """What is wrong with the element, as lines."""
    if isinstance(form, str):
        return [] if len(element) == 0 and re.fullmatch(form, element.text or "") else [f"{path} is {element.text!r}"]
    in_order, children = form
    names = [child.tag.removeprefix(NAMESPACE) for child in element]
    wrong = [f"{path} has {name}" for name in names if name not in children]
    for name, (times, _) in children.items():
        least, most = TIMES[times]
        if not least <= names.count(name) <= most:
            wrong.append(f"{path} has {names.count(name)} {name}")
    if in_order and not wrong and names != sorted(names, key=list(children).index):
        wrong.append(f"{path} has another order: {names}")
    for child, name in zip(element, names):
        if name in children:
            wrong += misfits(child, children[name][1], f"{path}/{name}")
    return wrong
