# SPDX-License-Identifier: MIT
"""The SMTP sink under the policy of the last argument: smtplib, swaks, and by hand what clients do not do."""

import email
import email.policy
import pathlib
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

from certificate import make_certificate
from example import Example, ask

signal.alarm(110)  # several programs, one after the other
POLICY = sys.argv[2]
ME, YOU = "me@example.org", "you@example.org"


class Kept:
    """The new mails."""

    def __init__(self, folder):
        self.folder, self.seen = pathlib.Path(folder), set()

    def next(self, count=1):
        """The text of the mails that have come, which are so many."""
        assert not list((self.folder / "tmp").iterdir()) or count == 0
        files = set((self.folder / "new").iterdir()) - self.seen
        assert len(files) == count, files
        self.seen |= files
        return [file.read_bytes() for file in files]

    def next_body(self):
        text, = self.next()
        return text.partition(b"\n\n")[2]


class Session:
    """A client that says what a test tells it to."""

    def __init__(self, example):
        self.socket = example.connect()
        self.input = self.socket.makefile("rb")
        self.expect(220)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.input.close()
        self.socket.close()

    def expect(self, *codes):
        for code in codes:
            while True:
                line = self.input.readline()
                assert line.startswith(b"%d" % code), (code, line)
                if line[3:4] == b" ":
                    break

    def say(self, text, *codes):
        self.socket.sendall(text)
        self.expect(*codes)

    def begin(self):
        self.say(b"EHLO here\r\n", 250)
        return self

    def send(self, data, code):
        """A mail, with its end."""
        self.say(b"MAIL FROM:<me@example.org>\r\n", 250)
        self.say(b"RCPT TO:<you@example.org>\r\n", 250)
        self.say(b"DATA\r\n", 354)
        self.say(data, code)

    def is_over(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self.input.read() == b""


def check_order(example):
    """What may come when, and how it is written."""
    with Session(example) as client:
        client.say(b"MAIL FROM:<me@example.org>\r\n", 503)
        client.say(b"EHLO\r\n", 501)
        client.begin()
        for text, code in ((b"RCPT TO:<you@example.org>", 503), (b"DATA", 503), (b"MAIL TO:<x@y>", 501),
                           (b"MAIL FROM:me@example.org", 501), (b"MAIL FROM:<me@example.org", 501),
                           (b"MAIL FROM:<me@example.org>x", 501), (b"MAIL FROM:<a\x01b@example.org>", 501),
                           (b"MAIL FROM:<me@example.org> NO=1", 555), (b"MAIL FROM:<me@example.org> SIZE=x", 555),
                           (b"MAIL FROM:<me@example.org> SIZE=1000001", 552), (b"nothing", 500),
                           (b"mail from: <\"a>b\"@example.org> SIZE=1000000 BODY=8BITMIME", 250),
                           (b"MAIL FROM:<me@example.org>", 503), (b"DATA", 554), (b"RCPT TO:<>", 501),
                           (b"Rcpt To:<@a,@b:you@example.org>", 250), (b"RSET", 250), (b"DATA", 503),
                           (b"MAIL FROM:<>", 250), (b"NOOP whatever", 250), (b"VRFY you", 252), (b"STARTTLS", 502),
                           (b"QUIT", 221)):
            client.say(text + b"\r\n", code)
        assert client.is_over()
    with Session(example) as client:
        client.say(b"HELO here\r\n", 250)
        client.say(b"MAIL FROM:<me@example.org> SIZE=1\r\n", 555)
        client.say(b"NOOP\n", 500)
        client.say(b"x" * 2000 + b"\r\n", 500)
        assert client.is_over()
    with Session(example) as client:
        for _ in range(20):
            client.say(b"nothing\r\n", 500)
        client.say(b"nothing\r\n", 421)
        assert client.is_over()


def check_content(example, kept):
    with Session(example) as client:
        client.begin()
        for data, expected in ((b".\r\n", b""), (b"a\r\n..\r\n...b\r\n.\r\n", b"a\n.\n..b\n"),
                               (b"\xff\x00\xfe\r\n.\r\n", b"\xff\x00\xfe\n"),
                               (b"x" * 8190 + b"\r\n.\r\n", b"x" * 8190 + b"\n")):
            client.send(b"Subject: s\r\n\r\n" + data, 250)
            got = kept.next_body()
            assert got == expected, (data, got)
        # The end of a mail is the one of RFC 5321, whatever others take for one; the client is still understood.
        for data, code in ((b"a\n.\nMAIL FROM:<m@x>\r\n.\r\n", 550), (b"a\r\n.\nb\r\n.\r\n", 550),
                           (b"a\n.\r\nb\r\n.\r\n", 550), (b"a\r.\r\nb\r\n.\r\n", 550), (b"a\r\n.\rb\r\n.\r\n", 550),
                           (b"x" * 8191 + b"\r\n.\r\n", 554), (b"x" * 8192 + b"\r\n.\r\n", 554),
                           (b"x" * 20000 + b"\r\n.\r\n.\r\n", 554), ((b"y" * 998 + b"\r\n") * 1100 + b".\r\n", 552)):
            client.send(data, code)
            kept.next(0)
            if data.endswith(b".\r\n.\r\n"):  # the second dot was a command
                client.expect(500)
        client.say(b"NOOP\r\n", 250)
    # Commands that come together are answered together, and so are mails.
    mail = b"MAIL FROM:<me@example.org>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"
    with Session(example) as client:
        client.say(b"EHLO here\r\n" + mail, 250, 250, 250, 250, 354)
        client.say(b"one\r\n.\r\n" + mail, 250, 250, 250, 250, 354)
        client.say(b"two\r\n.\r\nQUIT\r\n", 250, 221)
    texts = kept.next(2)
    for text in texts:
        assert text.startswith(b"Return-Path: <me@example.org>\nX-Original-To: a@b\nX-Original-To: c@d\n"
                               b"Received: from here (127.0.0.1:"), text
    # In pieces of one byte.
    with Session(example) as client:
        client.begin()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in mail + b"..slow\r\n.\r\nQUIT\r\n":
            client.socket.sendall(bytes([byte]))
        client.expect(250, 250, 250, 354, 250, 221)
    assert kept.next()[0].endswith(b"\n.slow\n")
    with Session(example) as client:
        client.begin()
        client.say(b"MAIL FROM:<me@example.org>\r\n", 250)
        for code in 250, 250, 250, 452, 452:
            client.say(b"RCPT TO:<you@example.org>\r\n", code)
        client.say(b"DATA\r\n", 354)
        client.say(b"three\r\n.\r\n", 250)
    assert kept.next()[0].count(b"X-Original-To") == 3
    # A name that would be a header of its own.
    with Session(example) as client:
        client.say(b"EHLO x) by me; (\rA: b\r\n", 250)
        client.send(b".\r\n", 250)
    assert b"from x??by?me????A:?b (127" in kept.next()[0]
    # Half a mail is none.
    with Session(example) as client:
        client.begin().say(mail, 250, 250, 250, 354)
        client.socket.sendall(b"half\r\n.")
        assert client.is_over()
    kept.next(0)


def check_clients(example, kept):
    host, port = example.address
    message = email.message.EmailMessage()
    message["Subject"], message["From"], message["To"] = "grüße", ME, YOU
    message.set_content("first line\n.dot\n" + "long " * 30 + "\n")
    message.add_attachment(bytes(range(256)) * 1000, maintype="application", subtype="octet-stream")
    with smtplib.SMTP(host, port, timeout=10) as client:
        client.ehlo()
        assert client.has_extn("pipelining") and client.has_extn("8bitmime") and client.esmtp_features["size"] == "1000000"
        assert not client.has_extn("starttls")
        assert client.send_message(message) == {}
        try:
            client.sendmail(ME, YOU, "x" * 1_000_001)
            raise AssertionError("not refused")
        except smtplib.SMTPSenderRefused as error:
            assert error.smtp_code == 552, error
    text, = kept.next()
    got = email.message_from_bytes(text, policy=email.policy.default)
    assert got["Subject"] == "grüße" and got["Return-Path"] == f"<{ME}>"
    assert got.get_body().get_content().startswith("first line\n.dot\n")
    assert next(got.iter_attachments()).get_content() == bytes(range(256)) * 1000
    if POLICY == "synchronous":
        return

    def send(who):
        with smtplib.SMTP(host, port, timeout=20) as client:
            for i in range(5):
                client.sendmail(ME, YOU, f"Subject: {who}-{i}\r\n\r\n{who} {i}\r\n")

    senders = [threading.Thread(target=send, args=(who,)) for who in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    bodies = sorted(text.splitlines()[-1].decode() for text in kept.next(20))
    assert bodies == sorted(f"{who} {i}" for who in range(4) for i in range(5)), bodies


def check_tls(example, kept, cert):
    host, port = example.address
    context = ssl.create_default_context(cafile=cert)
    with smtplib.SMTP(host, port, timeout=10) as client:
        client.ehlo()
        assert client.mail(ME)[0] == 530
        client.starttls(context=context)
        client.ehlo()
        assert not client.has_extn("starttls")
        client.sendmail(ME, YOU, "Subject: s\r\n\r\nover TLS\r\n")
    text, = kept.next()
    assert b"with ESMTPS;" in text and text.endswith(b"\nover TLS\n"), text
    with Session(example) as client:  # what was said in the clear counts no more
        client.begin().say(b"STARTTLS now\r\n", 501)
        client.say(b"STARTTLS\r\n", 220)
        with context.wrap_socket(client.socket, server_hostname="localhost") as secure:
            assert ask(secure, b"MAIL FROM:<me@example.org>\r\n", 3) == b"503"
    # Commands behind STARTTLS, which anybody may have put there.
    with Session(example) as client:
        client.begin()
        client.socket.sendall(b"STARTTLS\r\nEHLO x\r\nMAIL FROM:<mallory@example.org>\r\n")
        client.expect(220)
        assert client.is_over()
    if not shutil.which("swaks"):
        print("passed over: swaks is not installed")
        return
    for how in ["--tls"], ["--tls", "--pipeline"]:
        done = subprocess.run(
            ["swaks", "--server", f"{host}:{port}", *how, "--to", f"{YOU},other@example.org", "--from", ME,
             "--body", "by swaks", "--timeout", "10"], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done
        text, = kept.next()
        assert b"X-Original-To: other@example.org\n" in text and b"by swaks\n" in text, text


with tempfile.TemporaryDirectory() as work:
    arguments = [0, "--policy", POLICY, "--maildir", f"{work}/mails", "--drain", 5]
    mails = Kept(f"{work}/mails")
    with Example(*arguments, "--max-size", 1_000_000, "--max-recipients", 3) as server:
        check_order(server)
        check_content(server, mails)
        check_clients(server, mails)
        if POLICY != "synchronous":  # whose thread serves this client, and ends it when the signal comes
            with Session(server) as idle:
                idle.begin()
                server.send_stop()
                idle.expect(421)
                assert idle.input.read() == b""
    assert server.errors == "", server.errors
    with Example(*arguments, "--idle-timeout", 0.2) as server, Session(server) as idle:
        idle.expect(421)
    certfile, keyfile = make_certificate(work)
    with Example(*arguments, "--certfile", certfile, "--keyfile", keyfile, "--require-tls") as server:
        check_tls(server, mails, certfile)
    assert server.errors.count("bytes more than its command") == 1, server.errors
    mails.next(0)
