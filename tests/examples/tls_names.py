# SPDX-License-Identifier: MIT
import os
import shutil
import signal
import ssl
import subprocess
import tempfile

from certificate import make_pem
from example import Example, ask


def shown(example, name):
    """The common name of the certificate that is shown to who asks for `name`, and the answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(example.connect(), server_hostname=name) as client:
        text = ssl.DER_cert_to_PEM_cert(client.getpeercert(binary_form=True))
        subject = subprocess.run(["openssl", "x509", "-noout", "-subject", "-nameopt", "multiline"], input=text,
                                 capture_output=True, text=True, timeout=20).stdout
        return subject.split("= ")[-1].strip(), ask(client, b"").decode()


with tempfile.TemporaryDirectory() as folder:
    default, wild, exact = (make_pem(folder, name) for name in ("default", "wild", "exact"))
    with Example(0, default, f"*.example.org={wild}", f"www.example.org={exact}") as example:
        assert shown(example, "other.net") == ("default", "TLSv1.3 other.net\n")
        assert shown(example, None) == ("default", "TLSv1.3 \n")
        assert shown(example, "a.example.org")[0] == "wild"
        assert shown(example, "a.b.example.org")[0] == "default"
        assert shown(example, "WWW.example.org")[0] == "exact"

        os.rename(make_pem(folder, "renewed"), exact)
        example.process.send_signal(signal.SIGHUP)
        assert example.process.stdout.readline() == "reloaded\n"
        assert shown(example, "www.example.org")[0] == "renewed"

        with open(wild, "w", encoding="ascii") as file:
            file.write("rubbish\n")
        example.process.send_signal(signal.SIGHUP)
        line = example.process.stdout.readline()
        assert line == f"not reloaded: {wild}: no certificate is in it\n", line
        assert shown(example, "a.example.org")[0] == "wild"

        host, port = example.address
        if shutil.which("gnutls-cli"):
            got = subprocess.run(["gnutls-cli", "--insecure", "--sni-hostname", "www.example.org", "-p", str(port), host],
                                 stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
            assert "TLSv1.3 www.example.org" in got.stdout and "CN=renewed" in got.stdout, got
        if shutil.which("sslscan"):
            got = subprocess.run(["sslscan", "--no-colour", "--no-check-certificate", f"{host}:{port}"], capture_output=True, text=True, timeout=60)
            for old in "SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1":
                assert f"{old.ljust(9)} disabled" in got.stdout, got.stdout
            for line in "Session renegotiation not supported", "Server supports TLS Fallback SCSV", "TLSv1.2 not vulnerable to heartbleed":
                assert line.lower() in got.stdout.lower(), (line, got.stdout)
