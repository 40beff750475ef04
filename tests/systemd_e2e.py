#!/usr/bin/env python3
"""The installed package under systemd: its unit is started, serves mail, is reloaded, survives the death of master, and is stopped.

systemd runs as process 1 of namespaces of its own (processes, mounts, network, cgroups), where what `meson install` wrote stands at
its place and /etc, /run, /tmp and /var/lib are copies or empty. Nothing of it is seen outside. Only with --long, and only for root.
"""
import json, os, poplib, re, shutil, signal, smtplib, socket, subprocess, sys, tempfile, time

import e2e
from e2e import check, equal

SYSTEMD, PREFIX, PATIENCE = "/lib/systemd/systemd", "/usr/local", 240
HOST = "mail.example.test"
PORTS = {"smtp": 25, "submission": 587, "submissions": 465, "pop3": 110, "pop3s": 995, "imap": 143, "imaps": 993}
SESSIONS = 20000  # at least so many descriptors and so many tasks, where systemd's own limits are 1,024 and some thousands
USER, PASSWORD = f"user@{e2e.DOMAIN}", "a password of some length"

# Arguments: the installed tree, the folder of results, Python, this file.
BOOT = r"""
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/tree /run/results /run/up /run/work /run/source
mount --bind "$1" /run/tree
mount --bind "$2" /run/results
mount --bind "$4" /run/source
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/up,workdir=/run/work /etc
mount --bind /run/tree/usr/local /usr/local
mkdir -p /etc/posthorn
mount --bind /run/tree/etc/posthorn /etc/posthorn
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /tmp
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
: > /etc/fstab
systemd-sysusers /usr/local/lib/sysusers.d/posthorn.conf
mkdir -p /run/systemd/system/posthorn.service.d
# a build with sanitizers looks for leaks at the end, and master frees nothing then
printf '[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n' > /run/systemd/system/posthorn.service.d/test.conf
cat > /run/systemd/system/look.service <<END
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
Environment=PYTHONDONTWRITEBYTECODE=1
ExecStart=$3 /run/source/systemd_e2e.py --inside /run/results
ExecStopPost=/bin/systemctl exit
TimeoutStartSec=200
END
export container=other
exec /lib/systemd/systemd --system --unit=look.service --log-target=console --log-level=warning --show-status=no
"""


# ---- inside

def systemctl(*words, may_fail=False):
    result = subprocess.run(["systemctl", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=90)
    check(may_fail or result.returncode == 0, f"systemctl {' '.join(words)}: {result.stdout}")
    return result.stdout


def shown(name):
    return systemctl("show", "posthorn.service", "--property", name, "--value").strip()


def ctl(*words, text_input=None):
    result = subprocess.run([PREFIX + "/sbin/posthornctl", *words], input=text_input, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, timeout=60)
    check(result.returncode == 0, f"posthornctl {' '.join(words)}: {result.stdout}")


def until(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, what)
        time.sleep(.05)


def mails():
    client = poplib.POP3("127.0.0.1", 110, timeout=30)
    client.user(USER)
    client.pass_(PASSWORD)
    count = client.stat()[0]
    client.quit()
    return count


def answers():
    try:
        smtplib.SMTP("127.0.0.1", 25, timeout=30).quit()
        for port in PORTS.values():
            socket.create_connection(("127.0.0.1", port), timeout=30).close()
    except OSError:
        return False
    return True


def users():
    rows = subprocess.run(["ps", "-eo", "user:32,comm"], stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return {fields[0] for fields in map(str.split, rows) if fields[1].startswith("posthorn-")}


def start():
    systemctl("start", "posthorn.service")
    equal(shown("ActiveState"), "active", "the unit")
    until(answers, "answers on all ports")
    with open(f"/proc/{shown('MainPID')}/limits") as file:
        soft = re.search(r"Max open files +(\d+)", file.read())[1]
    check(int(soft) >= SESSIONS and int(shown("TasksMax")) >= SESSIONS, f"{soft} descriptors, {shown('TasksMax')} tasks")
    wanted = {"root"} | {f"posthorn-{name}" for name in ("auth", "dns", "mail", "porter", "queue", "relay", "smtpd")}
    until(lambda: users() >= wanted, f"a program of each of {wanted}")
    equal(users(), wanted, "who the programs run as")


def serve():
    ctl("domain", "add", e2e.DOMAIN)
    ctl("account", "add", USER, text_input=PASSWORD + "\n")
    with smtplib.SMTP("127.0.0.1", 25, timeout=30) as client:
        client.sendmail("sender@elsewhere.test", [USER], b"Subject: by SMTP\r\n\r\ntext\r\n")
    sent = subprocess.run([PREFIX + "/sbin/sendmail", USER], input="Subject: by sendmail\n\ntext\n", stderr=subprocess.PIPE, text=True, timeout=60)
    equal((sent.returncode, sent.stderr), (0, ""), "sendmail")
    until(lambda: mails() == 2, "both mails")


def reload():
    client = poplib.POP3("127.0.0.1", 110, timeout=30)
    client.user(USER)
    client.pass_(PASSWORD)
    before = shown("MainPID")
    systemctl("reload", "posthorn.service")
    equal(client.stat()[0], 2, "a session that goes on")
    client.quit()
    equal(shown("MainPID"), before, "master after a reload")
    equal(mails(), 2, "a session after the reload")


def restart():
    before = shown("MainPID")
    systemctl("kill", "--kill-who=main", "--signal=KILL", "posthorn.service")
    until(lambda: shown("MainPID") not in (before, "0") and shown("ActiveState") == "active" and answers(), "another master")
    until(lambda: mails() == 2, "the mails are there")


def purge():
    """What deleted accounts kept goes by the timer's service."""
    equal(systemctl("is-active", "posthorn-purge.timer").strip(), "active", "the timer")
    gone, kept = f"gone@{e2e.DOMAIN}", "/var/lib/posthorn/accounts/2"
    ctl("account", "add", gone, text_input=PASSWORD + "\n")
    ctl("fsck", gone)  # which opens it
    check(os.path.isdir(kept), "the account's folder")
    ctl("account", "delete", gone, "0")
    status = subprocess.run([PREFIX + "/sbin/posthornctl", "--json", "status"], stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    for row in json.loads(status.stdout):
        if row["account"] == "2":
            os.kill(int(row["pid"]), signal.SIGKILL)
            until(lambda pid=row["pid"]: not os.path.exists(f"/proc/{pid}"), "the end of the account's process")
    systemctl("start", "posthorn-purge.service")
    check(not os.path.exists(kept), "it is gone")


def stop():
    group = "/sys/fs/cgroup" + shown("ControlGroup")
    systemctl("stop", "posthorn.service")
    equal((shown("ActiveState"), shown("Result")), ("inactive", "success"), "the unit after its end")
    check(not os.path.exists(group) or not open(group + "/cgroup.procs").read(), "no program is left")
    check(not os.path.exists("/run/posthorn"), "its folder in /run is gone")


def inside(results):
    found = []
    for step in (start, serve, reload, restart, purge, stop):
        try:
            step()
            found.append([step.__name__, ""])
        except Exception as failure:  # told outside
            found.append([step.__name__, repr(failure) + "\n" + systemctl("status", "--full", "--lines=60", "posthorn.service", may_fail=True)])
            break
    with open(results + "/found", "w") as file:
        json.dump(found, file)


# ---- outside

def verify(tree):
    """What systemd-analyze says of the unit where it stands; paths are those of the tree."""
    unit = tree + PREFIX + "/lib/systemd/system/posthorn.service"
    with open(unit) as file:
        text = file.read().replace(PREFIX + "/", tree + PREFIX + "/")
    copy = tree + "/posthorn.service"
    with open(copy, "w") as file:
        file.write(text)
    said = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    equal((said.returncode, [line for line in said.stdout.splitlines() if "posthorn" in line]), (0, []), "systemd-analyze verify")
    security = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=50", copy], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
    equal(security.returncode, 0, security.stdout[-300:])
    for name in ("LimitNOFILE", "TasksMax"):
        found = re.search(rf"^{name}=(\d+)$", text, re.MULTILINE)
        check(found and int(found[1]) >= SESSIONS, f"{name} of the unit")


def verify_layout(tree):
    """A page for each program, a user for each role, one configuration with all that may be set, and the ports it means."""
    pages = {name.split(".")[0] for _, _, names in os.walk(tree + PREFIX + "/share/man") for name in names}
    programs = {name for folder in ("bin", "sbin", "libexec/posthorn") for name in os.listdir(f"{tree}{PREFIX}/{folder}")}
    check(len(programs) >= 12 and programs <= pages, f"programs without a page: {sorted(programs - pages)} of {len(programs)}")
    check(any(name.startswith("posthorn.conf.5") for name in os.listdir(tree + PREFIX + "/share/man/man5")), "posthorn.conf(5)")
    with open(tree + PREFIX + "/lib/sysusers.d/posthorn.conf") as file, open(e2e.ROOT + "/lib/daemon/role.c") as roles:
        users = {line.split()[1] for line in file if line.startswith("u ")}
        equal(users, set(re.findall(r'"(posthorn-\w+)"', roles.read())), "users")
    written = tree + "/etc/posthorn/posthorn.conf"
    told = subprocess.run([tree + PREFIX + "/sbin/posthornctl", "--json", "print-config", written], stdout=subprocess.PIPE, text=True, check=True).stdout
    with open(written) as file:
        text = file.read()
    missing = [key for key in json.loads(told) if f"\n#{key} = " not in text and key != "certificates"]
    equal(missing, [], "keys that the commented file lacks")
    for name, port in PORTS.items():
        check(f'\n#listen_{name} = {{"*:{port}"}}\n' in text, f"port of {name}")


class Tests:
    def __init__(self, folder):
        self.tree, self.results = folder + "/tree", folder + "/results"
        os.mkdir(self.results)

    def the_unit_is_good(self):
        if not shutil.which("systemd-analyze"):
            e2e.skip("systemd-analyze is missing")
        build = os.environ.get("POSTHORN_BUILD", os.path.join(e2e.ROOT, "build", "gcc"))
        subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet"], env={**os.environ, "DESTDIR": self.tree}, check=True)
        if not os.path.exists(self.tree + "/etc/posthorn/posthorn.conf"):
            e2e.skip("this build was set up for another sysconfdir than /etc")
        verify(self.tree)
        verify_layout(self.tree)

    def configure(self):
        """As the administrator would: a name, and a certificate for it."""
        folder = self.tree + "/etc/posthorn/"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
                        "-keyout", folder + "key.pem", "-out", folder + "chain.pem"], check=True, stderr=subprocess.DEVNULL)
        with open(folder + "posthorn.conf", "w") as file:
            file.write(f'hostname = "{HOST}"\nallow_plaintext_login = loopback\ntrusted_networks = {{ 127.0.0.1, "::1" }}\n'
                       f'certificate "{HOST}" {{\n\tchain = "/etc/posthorn/chain.pem"\n\tkey = "/etc/posthorn/key.pem"\n}}\n')

    def it_runs_under_systemd(self):
        if not os.path.exists(self.tree + "/etc/posthorn/posthorn.conf"):
            e2e.skip("nothing is installed")
        e2e.long_only("systemd as process 1 of namespaces of its own")
        if os.geteuid() != 0:
            e2e.skip("only root may make namespaces")
        if not os.path.exists(SYSTEMD) or not shutil.which("unshare") or not shutil.which("ip"):
            e2e.skip("systemd, unshare or ip is missing")
        self.configure()
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--cgroup", "--uts", "--ipc", "--net", "sh", "-c", BOOT,
                   "boot", self.tree, self.results, sys.executable, os.path.dirname(os.path.realpath(__file__))]
        said = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
        if "Operation not permitted" in said.stdout:
            e2e.skip("namespaces, or mounts in them, are not permitted here")
        check(os.path.exists(self.results + "/found"), f"systemd did not come up: {said.stdout[-3000:]}")
        with open(self.results + "/found") as file:
            found = json.load(file)
        check(not found[-1][1], f"{found[-1][0]}: {found[-1][1]}")
        equal([name for name, _ in found], ["start", "serve", "reload", "restart", "purge", "stop"], "steps")


def main():
    with tempfile.TemporaryDirectory(prefix="posthorn-systemd-") as folder:
        os.chmod(folder, 0o755)
        tests = Tests(folder)
        e2e.run([("the unit is good", tests.the_unit_is_good), ("it runs under systemd", tests.it_runs_under_systemd)])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2])
    else:
        main()
