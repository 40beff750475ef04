"""An authority, and certificates of it, for servers of tests; made by openssl."""
import os
import ssl
import subprocess

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Authority:
    def __init__(self, folder):
        self.folder, self.path, self.contexts = folder, os.path.join(folder, "ca.pem"), {}
        openssl("req", "-x509", *NEW_KEY, "-days", "30", "-subj", "/CN=authority", "-keyout", self.file("ca.key"), "-out", self.path,
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")

    def file(self, name):
        return os.path.join(self.folder, name)

    def context(self, name):
        """For a server of that name."""
        if name not in self.contexts:
            with open(self.file("extensions"), "w", encoding="ascii") as file:
                file.write(f"subjectAltName=DNS:{name}\nbasicConstraints=critical,CA:FALSE\n")
            openssl("req", *NEW_KEY, "-subj", f"/CN={name}", "-keyout", self.file(name + ".key"), "-out", self.file("request"))
            openssl("x509", "-req", "-in", self.file("request"), "-CA", self.path, "-CAkey", self.file("ca.key"), "-CAcreateserial", "-days", "30",
                    "-extfile", self.file("extensions"), "-out", self.file(name + ".pem"))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.file(name + ".pem"), self.file(name + ".key"))
            self.contexts[name] = context
        return self.contexts[name]
