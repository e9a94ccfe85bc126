# SPDX-License-Identifier: MIT
import hashlib
import ssl
import subprocess
import tempfile

from certificate import make_certificate, make_pem
from example import Example, ask


def answer(example, cert, pem):
    context = ssl.create_default_context(cafile=cert)
    if pem:
        context.load_cert_chain(pem)
    try:
        with context.wrap_socket(example.connect(), server_hostname="localhost") as client:
            return ask(client, b"").decode()
    except (ssl.SSLError, ConnectionError):
        return ""


with tempfile.TemporaryDirectory() as folder:
    cert, key = make_certificate(folder)
    server = f"{folder}/server.pem"
    alice, bob, mallory = (make_pem(folder, name) for name in ("alice", "bob", "mallory"))
    with open(server, "w", encoding="ascii") as out, open(cert, encoding="ascii") as a, open(key, encoding="ascii") as b:
        out.write(a.read() + b.read())
    with open(f"{folder}/authorities.pem", "w", encoding="ascii") as out:
        for each in alice, bob:
            out.write(subprocess.run(["openssl", "x509", "-in", each], capture_output=True, text=True).stdout)
    with Example(0, server, f"{folder}/authorities.pem", "alice") as example:
        with open(alice, encoding="ascii") as file:
            der = ssl.PEM_cert_to_DER_cert("-----BEGIN" + file.read().split("-----BEGIN")[-1])
        assert answer(example, cert, alice) == f"CN=alice {hashlib.sha256(der).hexdigest()}\n"
        assert answer(example, cert, bob) == ""      # of the authority, and no member
        assert answer(example, cert, mallory) == ""  # of another authority
        assert answer(example, cert, None) == ""
        host, port = example.address
        got = subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", "-CAfile", cert, "-cert", alice,
                              "-quiet", "-verify_return_error"],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
        assert got.stdout.startswith("CN=alice "), got
assert example.output.count("\n") == 3, example.output
assert "verify_peer() refused the client" in example.output, example.output
