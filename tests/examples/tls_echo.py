# SPDX-License-Identifier: MIT
import shutil
import ssl
import subprocess
import tempfile

from certificate import make_certificate
from example import PROGRAM, Example, ask, expect

with tempfile.TemporaryDirectory() as folder:
    cert, key = make_certificate(folder)

    # A file that is missing ends the program with a word about it.
    failed = subprocess.run([*PROGRAM, "0", cert + "x", key], text=True, capture_output=True, timeout=20)
    assert failed.returncode == 1 and failed.stderr == f"{cert}x: No such file or directory\n", failed

    with Example(0, cert, key) as example:
        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
            context = ssl.create_default_context(cafile=cert)
            context.minimum_version = context.maximum_version = version
            with context.wrap_socket(example.connect(), server_hostname="localhost") as client:
                expect(client, b"hello\n" * 10000, b"hello\n" * 10000)
                session = client.session
                plain = client.unwrap()  # close_notify, and the server's
                assert plain.recv(1) == b""
            with context.wrap_socket(example.connect(), server_hostname="localhost", session=session) as client:
                expect(client, b"hello again\n", b"hello again\n")
                assert client.session_reused, version

        # Clients in a program of their own end by themselves when the server ends the connection.
        for option in "-tls1_2", "-tls1_3":
            with subprocess.Popen(
                    ["openssl", "s_client", "-connect", f"{example.address[0]}:{example.address[1]}", "-CAfile", cert,
                     "-verify_return_error", "-verify_hostname", "localhost", "-quiet", option],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
                client.stdin.write("hello from s_client\n")
                client.stdin.flush()
                assert client.stdout.readline() == "hello from s_client\n"
                client.kill()

        if shutil.which("curl"):
            # The server echoes the request, which curl takes for an answer of HTTP/0.9.
            got = subprocess.run(
                ["curl", "--silent", "--show-error", "--http0.9", "--max-time", "3", "--cacert", cert,
                 "--resolve", f"localhost:{example.address[1]}:{example.address[0]}",
                 f"https://localhost:{example.address[1]}/path"],
                capture_output=True, text=True, timeout=20)
            assert got.stdout.startswith("GET /path HTTP/1.1"), got

        with example.connect() as client:  # plain HTTP
            ask(client, b"GET / HTTP/1.0\r\n\r\n")
        strangers = ssl.create_default_context(cafile=cert)
        try:
            strangers.wrap_socket(example.connect(), server_hostname="example.org")
            raise AssertionError("a certificate for another name was taken")
        except ssl.SSLCertVerificationError:
            pass

assert "TLS handshake: http request" in example.output, example.output
assert "certificate" in example.output, example.output
assert example.errors == "", example.errors
