# SPDX-License-Identifier: MIT
"""A certificate of "localhost" for the tests of examples, which openssl(1) makes when they run."""

import os
import shutil
import subprocess
import sys

if not shutil.which("openssl"):
    print("passed over: openssl is not installed")
    sys.exit()


def make_certificate(folder):
    """The paths of the certificate, which is its own authority, and of its key."""
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key,
         "-out", cert],
        check=True, capture_output=True, timeout=20)
    return cert, key


def make_pem(folder, name):
    """The path of a file with a key and a certificate for the common name `name`, its own authority."""
    path = os.path.join(folder, f"{name}.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", f"/CN={name}", "-keyout", path, "-out", f"{path}.cert"],
        check=True, capture_output=True, timeout=20)
    with open(path, "a", encoding="ascii") as pem, open(f"{path}.cert", encoding="ascii") as cert:
        pem.write(cert.read())
    return path
