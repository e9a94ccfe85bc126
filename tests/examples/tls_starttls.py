# SPDX-License-Identifier: MIT
import shutil
import smtplib
import ssl
import subprocess
import tempfile

from certificate import make_certificate
from example import Example, ask

with tempfile.TemporaryDirectory() as folder:
    cert, key = make_certificate(folder)
    with Example(0, cert, key) as example:
        host, port = example.address
        with smtplib.SMTP(host, port, timeout=10) as client:
            client.ehlo()
            code, text = client.mail("me@example.org")
            assert code == 530, (code, text)
            client.starttls(context=ssl.create_default_context(cafile=cert))
            client.sendmail("me@example.org", "you@example.org", "Subject: hello\r\n\r\nover TLS\r\n.dot\r\n")

        with example.connect() as client:  # a command behind STARTTLS, before there is TLS
            reply = ask(client, b"EHLO x\r\nSTARTTLS\r\nMAIL FROM:<mallory@example.org>\r\n")
            assert reply.endswith(b"220 go ahead\r\n"), reply

        got = subprocess.run(
            ["openssl", "s_client", "-connect", f"{host}:{port}", "-starttls", "smtp", "-CAfile", cert,
             "-verify_return_error", "-verify_hostname", "localhost", "-quiet", "-crlf"],
            input="NOOP\nQUIT\n", capture_output=True, text=True, timeout=20)
        assert "250 ok" in got.stdout and "221 bye" in got.stdout, got

        if shutil.which("swaks"):
            got = subprocess.run(
                ["swaks", "--server", f"{host}:{port}", "--tls", "--to", "you@example.org", "--from", "me@example.org",
                 "--body", "by swaks", "--timeout", "10"], capture_output=True, text=True, timeout=20)
            assert got.returncode == 0, got

assert "over TLS\n.dot\n" in example.output, example.output
assert "mallory" not in example.output
assert "1 bytes" in example.errors or "bytes more than its command" in example.errors, example.errors
