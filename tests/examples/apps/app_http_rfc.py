# SPDX-License-Identifier: MIT
"""The file server under the policy of the last argument, asked what RFC 9112 (the messages of HTTP/1.1) and RFC 9110
(their meaning) require of a server of files. Each case names its section."""

import dataclasses
import email.utils
import os
import pathlib
import re
import signal
import socket
import sys
import tempfile
import time

from example import Example, ask

signal.alarm(110)
POLICY = sys.argv[2]
WORKERS = ["--workers", 8] if POLICY in ("pool", "prefork") else []
SMALL = b"0123456789" * 10
LAST = b"GET /empty HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@dataclasses.dataclass
class Answer:
    status: int
    fields: dict
    body: bytes


def answers_in(stream, methods):
    """All answers in what a server sent. Each must be framed as RFC 9112, section 6.3, says."""
    answers, methods = [], list(methods)
    while stream:
        head, end, stream = stream.partition(b"\r\n\r\n")
        assert end, head
        line, *lines = head.decode("latin-1").split("\r\n")
        status = int(re.fullmatch(r"HTTP/1\.1 (\d{3}) [\x20-\x7e]*", line).group(1))
        fields = {}
        for each in lines:
            name, value = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\x20-\x7e]*)", each).groups()
            assert name.lower() not in fields, head  # none of those that it sends may come twice
            fields[name.lower()] = value
        size = 0
        if status >= 200:
            assert "date" in fields, head  # RFC 9110, 6.6.1
            method = methods.pop(0) if methods else b"GET"
            assert "transfer-encoding" not in fields
            if method != b"HEAD" and status != 304:
                size = int(fields["content-length"])
        answers.append(Answer(status, fields, stream[:size]))
        assert len(answers[-1].body) == size
        stream = stream[size:]
    return answers


def talk(example, request, wait_for_end=True):
    """Sends a request and returns the answers to it, until the server ends the connection."""
    with example.connect() as client:
        client.sendall(request)
        if wait_for_end:
            client.shutdown(socket.SHUT_WR)
        try:
            stream = ask(client, b"", 10_000_000)
        except ConnectionError:
            stream = b""
    return answers_in(stream, re.findall(rb"^([A-Za-z]+) \S+ HTTP/1", request, re.MULTILINE))


def get(*lines, target="/small", method="GET", version="HTTP/1.1", host="Host: x"):
    """A request with these header lines."""
    head = [f"{method} {target} {version}", *([host] if host else []), *lines]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n"


def chunked(body):
    return get("Transfer-Encoding: chunked") + body


# Section, request, statuses of the answers. A request that cannot be understood ends the connection: LAST, which
# follows each, is answered only if the server knows where it begins. A case with two allowed outcomes names both.
MESSAGES = [
    # --- RFC 9112
    ("2.2 a bare CR in the request line", b"GET /small\rHTTP/1.1\r\nHost: x\r\n\r\n", [400]),
    ("2.2 a bare CR in a field value", get("X: a\rb"), [400]),
    ("2.2 a bare CR between fields", b"GET /small HTTP/1.1\r\nHost: x\rX: y\r\n\r\n", [400]),
    ("2.2 a bare LF ends lines", b"GET /small HTTP/1.1\nHost: x\n\n", [400]),
    ("2.2 a bare LF ends one field", b"GET /small HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", [400]),
    ("2.2 an empty line before the request", b"\r\n" + get(), [200, 200]),
    ("2.2 white space before the first field", b"GET /small HTTP/1.1\r\n Host: x\r\n\r\n", [400]),
    ("2.2 white space, and no field name", b"GET /small HTTP/1.1\r\n \r\nHost: x\r\n\r\n", [400]),
    ("2.3 a higher minor version", get(version="HTTP/1.2"), [200, 200]),
    ("2.3 a much higher one", get(version="HTTP/1.9"), [200, 200]),
    ("2.3 another major version", get(version="HTTP/2.0"), [505]),
    ("2.3 version 0.9 with a version", get(version="HTTP/0.9"), [505]),
    ("2.3 the name in small letters", get(version="http/1.1"), [400]),
    ("2.3 no minor version", get(version="HTTP/1"), [400]),
    ("2.3 two digits", get(version="HTTP/1.11"), [400]),
    ("2.3 no version, as in HTTP/0.9", b"GET /small\r\n\r\n", [400]),
    ("3 two spaces", b"GET  /small HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
    ("3 a space before the method", b" GET /small HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
    ("3 a space at the end", b"GET /small HTTP/1.1 \r\nHost: x\r\n\r\n", [400]),
    ("3 a tab for a space", b"GET\t/small HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
    ("3 no target", b"GET HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
    ("3 no method", b"/small HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
    ("3 a target that is too long", get(target="/" + "x" * 20_000), [414]),
    ("3.1 a method is case-sensitive", get(method="get"), [501, 200]),
    ("3.1 an unknown method", get(method="BREW"), [501, 200]),
    ("3.1 a method that is no token", get(method="G(T"), [400]),
    ("3.2 a space in the target", get(target="/sm all"), [400]),
    ("3.2 no Host", get(host=None), [400]),
    ("3.2 two of them", get("Host: x"), [400]),
    ("3.2 two that differ", get("Host: y"), [400]),
    ("3.2 an empty Host", get(host="Host:"), [200, 200]),
    ("3.2 a Host with a port", get(host="Host: example.test:8080"), [200, 200]),
    ("3.2 a Host that is an address", get(host="Host: [2001:db8::1]:80"), [200, 200]),
    ("3.2 an encoded Host", get(host="Host: ex%41mple"), [200, 200]),
    ("3.2 a Host with a space", get(host="Host: a b"), [400]),
    ("3.2 a Host with a path", get(host="Host: x/y"), [400]),
    ("3.2 a Host with a user", get(host="Host: user@x"), [400]),
    ("3.2 a Host with a comma and a space", get(host="Host: x, y"), [400]),
    ("3.2 a Host whose port is no number", get(host="Host: x:8o"), [400]),
    ("3.2 a Host with two ports", get(host="Host: x:1:2"), [400]),
    ("3.2 a Host with half an address", get(host="Host: [::1"), [400]),
    ("3.2 a Host that is a bad address", get(host="Host: [x]"), [400]),
    ("3.2 no Host in HTTP/1.0", get(version="HTTP/1.0", host=None), [200]),
    ("3.2 a bad one in HTTP/1.0", get(version="HTTP/1.0", host="Host: a b"), [400]),
    ("3.2.2 absolute-form", get(target="http://x/small"), [200, 200]),
    ("3.2.2 with another Host, which counts for nothing", get(target="http://other:80/small"), [200, 200]),
    ("3.2.2 in any case of letters", get(target="HTTP://x/small"), [200, 200]),
    ("3.2.2 without a path", get(target="http://x"), [200, 200]),
    ("3.2.2 without a Host", get(target="http://x/small", host=None), [400]),
    ("3.2.3 authority-form", get(target="x:80", method="CONNECT"), [501, 200]),
    ("3.2.3 authority-form of another method", get(target="x:80"), [400, 200]),
    ("3.2.4 asterisk-form", get(target="*", method="OPTIONS"), [200, 200]),
    ("3.2.4 asterisk-form of another method", get(target="*"), [400, 200]),
    ("5 a line without a colon", get("X"), [400]),
    ("5 no field name", get(": x"), [400]),
    ("5 a field name that is no token", get("X(: y"), [400]),
    ("5 an empty value", get("X:"), [200, 200]),
    ("5 white space around a value", get("X: \t y \t "), [200, 200]),
    ("5.1 a space before the colon", get("X : y"), [400]),
    ("5.1 a tab before the colon", get("X\t: y"), [400]),
    ("5.2 a folded line", get("X: a", " b"), [400]),
    ("5.2 folded by a tab", get("X: a", "\tb"), [400]),
    ("5.2 a folded Transfer-Encoding", get("Transfer-Encoding:", " chunked") + b"0\r\n\r\n", [400]),
    ("6.1 chunked in any case of letters", get("Transfer-Encoding: Chunked") + b"0\r\n\r\n", [200, 200]),
    ("6.1 after a tab", get("Transfer-Encoding:\tchunked") + b"0\r\n\r\n", [200, 200]),
    ("6.1 both lengths", get("Transfer-Encoding: chunked", "Content-Length: 5") + b"0\r\n\r\n", [400]),
    ("6.1 both lengths, the other order", get("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n", [400]),
    ("6.1 an unknown coding", get("Transfer-Encoding: magic, chunked") + b"0\r\n\r\n", [501]),
    ("6.1 a known one, not implemented", get("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", [501]),
    ("6.1 chunked twice", get("Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n", [400]),
    ("6.1 in HTTP/1.0", get("Transfer-Encoding: chunked", version="HTTP/1.0") + b"0\r\n\r\n", [400]),
    ("6.1 nothing", get("Transfer-Encoding:") + b"0\r\n\r\n", [400]),
    ("6.1 a control character", get("Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n", [400]),
    ("6.3 chunked is not the last", get("Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n", [400]),
    ("6.3 not chunked", get("Transfer-Encoding: gzip"), [400]),
    ("6.3 identity, which there is no more", get("Transfer-Encoding: identity"), [400]),
    ("6.3 Content-Length", get("Content-Length: 5") + b"hello", [200, 200]),
    ("6.3 zero", get("Content-Length: 0"), [200, 200]),
    ("6.3 with zeros before", get("Content-Length: 0005") + b"hello", [200, 200]),
    ("6.3 several", get("Content-Length: 5", "Content-Length: 6") + b"hello", [400]),
    ("6.3 a list", get("Content-Length: 5, 6") + b"hello", [400]),
    ("6.3 negative", get("Content-Length: -5") + b"hello", [400]),
    ("6.3 with a plus", get("Content-Length: +5") + b"hello", [400]),
    ("6.3 hexadecimal", get("Content-Length: 0x5") + b"hello", [400]),
    ("6.3 no number", get("Content-Length: five") + b"hello", [400]),
    ("6.3 two numbers", get("Content-Length: 5 5") + b"hello", [400]),
    ("6.3 one that begins on the next line", get("Content-Length:", " 5") + b"hello", [400]),
    ("6.3 nothing at all", get("Content-Length:"), [400]),
    ("6.3 more than there are bytes in the world", get("Content-Length: 18446744073709551621") + b"hello", [400]),
    ("6.3 no body without a length", get(method="POST"), [405, 200]),
    ("7.1 chunks", chunked(b"5\r\nhello\r\n0A\r\n" + b"x" * 10 + b"\r\na\r\n" + b"x" * 10 + b"\r\n000\r\n\r\n"), [200, 200]),
    ("7.1 no size", chunked(b"\r\nhello\r\n0\r\n\r\n"), [400]),
    ("7.1 a size with 0x", chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), [400]),
    ("7.1 a negative size", chunked(b"-5\r\nhello\r\n0\r\n\r\n"), [400]),
    ("7.1 a plus", chunked(b"+5\r\nhello\r\n0\r\n\r\n"), [400]),
    ("7.1 a separator of digits", chunked(b"1_0\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n"), [400]),
    ("7.1 a space before the size", chunked(b" 5\r\nhello\r\n0\r\n\r\n"), [400]),
    ("7.1 a size that overflows", chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), [400]),
    ("7.1 a bare LF after the size", chunked(b"5\nhello\r\n0\r\n\r\n"), [400]),
    ("7.1 a bare CR after the size", chunked(b"5\rhello\r\n0\r\n\r\n"), [400]),
    ("7.1 more data than the size", chunked(b"5\r\nhello!\r\n0\r\n\r\n"), [400]),
    ("7.1 no line end after the data", chunked(b"5\r\nhello0\r\n\r\n"), [400]),
    ("7.1 a bare LF after the data", chunked(b"5\r\nhello\n0\r\n\r\n"), [400]),
    ("7.1.1 extensions", chunked(b"5;a;b=c;d=\"e;f\"\r\nhello\r\n0;last\r\n\r\n"), [200, 200]),
    ("7.1.1 white space around one", chunked(b"5 ; a = b\r\nhello\r\n0\r\n\r\n"), [200, 200]),
    ("7.1.1 a bare LF in one", chunked(b"5;a\nb\r\nhello\r\n0\r\n\r\n"), [400]),
    ("7.1.1 a bare CR in one", chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), [400]),
    ("7.1.1 too much of them", chunked(b"5;" + b"x" * 20_000 + b"\r\nhello\r\n0\r\n\r\n"), [431]),
    ("7.1.2 trailers", chunked(b"0\r\nX: a\r\nY: b\r\n\r\n"), [200, 200]),
    ("7.1.2 a trailer does not name the host", chunked(b"0\r\nHost: y\r\n\r\n"), [200, 200]),
    ("7.1.2 a length after the body", chunked(b"0\r\nContent-Length: 100\r\n\r\n"), [400]),
    ("7.1.2 nor of the connection", chunked(b"0\r\nConnection: close\r\n\r\n"), [200, 200]),
    ("7.1.2 a trailer with a space before the colon", chunked(b"0\r\nX : a\r\n\r\n"), [400]),
    ("7.1.2 a trailer that is no field", chunked(b"0\r\nX\r\n\r\n"), [400]),
    ("7.1.2 too many", chunked(b"0\r\n" + b"X: a\r\n" * 5000 + b"\r\n"), [431]),
    ("8 the end in the head", b"GET /small HTTP/1.1\r\nHos", [400]),
    ("9.3 close", get("Connection: close"), [200]),
    ("9.3 close in any case of letters", get("Connection: x, CLOSE"), [200]),
    ("9.3 both words", get("Connection: keep-alive, close"), [200]),
    ("9.3 HTTP/1.0 ends", get(version="HTTP/1.0"), [200]),
    ("9.3 HTTP/1.0 that stays", get("Connection: Keep-Alive", version="HTTP/1.0"), [200, 200]),
    ("9.3 HTTP/1.0 with both", get("Connection: keep-alive, close", version="HTTP/1.0"), [200]),
    ("9.3.2 pipelining", get() * 20 + get(target="/missing") + get(method="HEAD"), [200] * 20 + [404, 200, 200]),
    # --- RFC 9110
    ("9110 5.4 fields that are too large", get("X: " + "y" * 20_000), [431]),
    ("9110 5.4 too many", get(*["X: y"] * 5000), [431]),
    ("9110 5.5 a NUL in a value", get("X: a\0b"), [400]),
    ("9110 5.5 bytes beyond ASCII in a value", get("X: \xe4\xff"), [200, 200]),
    ("9110 9.3.2 HEAD", get(method="HEAD"), [200, 200]),
    ("9110 9.3.2 HEAD of nothing", get(method="HEAD", target="/missing"), [404, 200]),
    ("9110 9.3.3 POST", get("Content-Length: 5", method="POST") + b"hello", [405, 200]),
    ("9110 9.3.4 PUT", get("Content-Length: 5", method="PUT") + b"hello", [405, 200]),
    ("9110 9.3.5 DELETE", get(method="DELETE"), [405, 200]),
    ("9110 9.3.7 OPTIONS of a file", get(method="OPTIONS"), [200, 200]),
    ("9110 9.3.7 OPTIONS with a body", get("Content-Length: 5", method="OPTIONS") + b"hello", [200, 200]),
    ("9110 9.3.8 TRACE", get(method="TRACE"), [405, 200]),
    ("9110 10.1.1 100-continue", get("Expect: 100-continue", "Content-Length: 5") + b"hello", [100, 200, 200]),
    ("9110 10.1.1 in any case of letters", get("Expect: 100-Continue", "Content-Length: 5") + b"hello", [100, 200, 200]),
    ("9110 10.1.1 without a body", get("Expect: 100-continue"), [200, 200]),
    ("9110 10.1.1 HTTP/1.0 does not know it", get("Expect: 100-continue", "Content-Length: 5", "Connection: keep-alive",
                                               version="HTTP/1.0") + b"hello", [200, 200]),
    ("9110 10.1.1 another expectation", get("Expect: the-impossible"), [417]),
    ("9110 10.1.1 another one with a body", get("Expect: the-impossible", "Content-Length: 5"), [417]),
    ("9110 15.5.14 a body that is too large", get("Expect: 100-continue", "Content-Length: 10000000", method="PUT"), [413]),
]


def check_messages(example):
    for name, request, expected in MESSAGES:
        answers = talk(example, request + LAST)
        got = [each.status for each in answers]
        assert got == expected, (name, request[:200], expected, got)
        is_refused = len(expected) < request.count(b"HTTP/1") + 1 and expected[-1] >= 400
        if is_refused or expected[-1] == 400:
            assert answers[-1].fields.get("connection") == "close" or got[-1] == 200, (name, answers[-1])


def one(example, *lines, **options):
    """The answer to one request."""
    answer, last = talk(example, get(*lines, **options) + LAST)
    assert (last.status, last.fields["connection"]) == (200, "close")
    return answer


def check_answers(example):
    answer = one(example)
    assert answer.body == SMALL and "connection" not in answer.fields
    head = one(example, method="HEAD")  # RFC 9110, 9.3.2: the same fields
    assert {**head.fields, "date": ""} == {**answer.fields, "date": ""} and head.body == b""
    for target in "/folder/", "/missing":
        fields, of_head = one(example, target=target).fields, one(example, method="HEAD", target=target).fields
        assert of_head == {**fields, "date": of_head["date"]}, target
    # RFC 9112, 9.3: what stays open in HTTP/1.0 says so.
    for connection, says in ("keep-alive", "keep-alive"), ("close", "close"):
        answer = talk(example, get(f"Connection: {connection}", version="HTTP/1.0") + LAST)[0]
        assert answer.fields["connection"] == says, answer
    assert talk(example, get(version="HTTP/1.0"))[0].fields["connection"] == "close"
    # RFC 9110, 10.2.1 and 15.5.6: what else may be asked.
    for method, target in ("POST", "/small"), ("OPTIONS", "/small"), ("OPTIONS", "*"), ("TRACE", "/small"):
        answer = one(example, method=method, target=target)
        assert answer.fields["allow"] == "GET, HEAD, OPTIONS", (method, answer)
        assert answer.status != 200 or (answer.fields["content-length"], answer.body) == ("0", b""), answer
    # RFC 9112, 9.6: the server says that it ends the connection, and ends it, also if the client does not.
    for request in get("Connection: close"), b"nonsense\r\n\r\n", get("Content-Length: x"):
        answers = talk(example, request, wait_for_end=False)
        assert len(answers) == 1 and answers[0].fields["connection"] == "close"
    # RFC 9110, 10.1.1: 100 comes before the body does.
    with example.connect() as client:
        client.sendall(get("Expect: 100-continue", "Content-Length: 5"))
        assert ask(client, b"", 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello" + LAST)
        assert [each.status for each in answers_in(ask(client, b"", 10_000), [b"GET", b"GET"])] == [200, 200]


def check_conditions(example, root):
    """RFC 9110, 13: which of several conditions counts, and what they compare."""
    fields = one(example).fields
    tag, date = fields["etag"], fields["last-modified"]
    assert re.fullmatch(r'"[\x21\x23-\x7e]*"', tag) and email.utils.format_datetime(
        email.utils.parsedate_to_datetime(date), usegmt=True) == date
    older = "Sun, 06 Nov 1994 08:49:37 GMT"
    for section, lines, status in (
            # 13.1: each alone.
            ("13.1.1", [f"If-Match: {tag}"], 200), ("13.1.1", ["If-Match: *"], 200), ("13.1.1", ['If-Match: "x"'], 412),
            ("13.1.1", [f"If-Match: W/{tag}"], 412), ("13.1.1", [f'If-Match: "x", "y,{tag[1:]}, {tag}'], 200),
            ("13.1.2", [f"If-None-Match: {tag}"], 304), ("13.1.2", [f"If-None-Match: W/{tag}"], 304),
            ("13.1.2", ["If-None-Match: *"], 304), ("13.1.2", ['If-None-Match: "x"'], 200),
            ("13.1.2", [f'If-None-Match: "x","y" , {tag}'], 304),
            ("13.1.3", [f"If-Modified-Since: {date}"], 304), ("13.1.3", [f"If-Modified-Since: {older}"], 200),
            ("13.1.3", ["If-Modified-Since: nonsense"], 200),
            ("13.1.4", [f"If-Unmodified-Since: {date}"], 200), ("13.1.4", [f"If-Unmodified-Since: {older}"], 412),
            ("13.1.4", ["If-Unmodified-Since: nonsense"], 200),
            # 5.3: a list on several lines is one list.
            ("5.3", ['If-None-Match: "x"', f"If-None-Match: {tag}"], 304),
            ("5.3", ['If-Match: "x"', "X: y", f"If-Match: {tag}"], 200),
            ("5.3", ['If-Match: "x"', 'If-Match: "y"'], 412),
            # 13.2.2: in which order.
            ("13.2.2 1", [f"If-Match: {tag}", f"If-Unmodified-Since: {older}"], 200),
            ("13.2.2 1", ['If-Match: "x"', f"If-Unmodified-Since: {date}"], 412),
            ("13.2.2 1", ['If-Match: "x"', f"If-None-Match: {tag}"], 412),
            ("13.2.2 2", [f"If-Unmodified-Since: {older}", f"If-None-Match: {tag}"], 412),
            ("13.2.2 3", [f"If-Match: {tag}", f"If-None-Match: {tag}"], 304),
            ("13.2.2 3", ['If-None-Match: "x"', f"If-Modified-Since: {date}"], 200),
            ("13.2.2 3", [f"If-None-Match: {tag}", f"If-Modified-Since: {older}"], 304),
            ("13.2.2 3", [f"If-None-Match: {tag}", "Range: bytes=0-1"], 304),
            ("13.2.2 4", [f"If-Modified-Since: {date}", "Range: bytes=0-1"], 304),
            ("13.2.2 4", ['If-Match: "x"', "Range: bytes=0-1"], 412),
            ("13.2.2 5", [f"If-Range: {tag}", "Range: bytes=0-1"], 206),
            ("13.2.2 5", [f"If-Range: {date}", "Range: bytes=0-1"], 206),
            ("13.2.2 5", ['If-Range: "x"', "Range: bytes=0-1"], 200),
            ("13.2.2 5", [f"If-Range: {older}", "Range: bytes=0-1"], 200),
            ("13.2.2 5", [f"If-Range: {tag}", "Range: bytes=1000-"], 416),
            ("13.2.2 5", ['If-Range: "x"', "Range: bytes=1000-"], 200),
            ("13.1.5", [f"If-Range: W/{tag}", "Range: bytes=0-1"], 200),
            ("13.1.5", [f"If-Range: {tag}"], 200)):
        for method in "GET", "HEAD":
            answer = one(example, *lines, method=method)
            expected = status if method == "GET" or status not in (206, 416) else 200  # 14.2: Range is for GET
            assert answer.status == expected, (section, method, lines, expected, answer)
            if answer.status == 304:  # 15.4.5
                assert (answer.fields["etag"], answer.body) == (tag, b"")
    # 13.2.1: conditions count for nothing if the answer would be an error without them.
    for lines in ['If-Match: "x"'], ["If-None-Match: *"], [f"If-Unmodified-Since: {older}"]:
        assert one(example, *lines, target="/missing").status == 404
        assert one(example, *lines, method="PUT").status == 405
    # 8.8.2.1: no time of a change lies in the future.
    (root / "future").write_bytes(b"x")
    os.utime(root / "future", (time.time() + 100_000,) * 2)
    fields = one(example, target="/future").fields
    changed, now = (email.utils.parsedate_to_datetime(fields[name]) for name in ("last-modified", "date"))
    assert changed <= now, fields


def check_ranges(example):
    """RFC 9110, 14."""
    for text, expected in (
            ("bytes=0-0", (0, 0)), ("bytes=0-", (0, 99)), ("bytes=99-", (99, 99)), ("bytes=-1", (99, 99)),
            ("bytes=-1000", (0, 99)), ("bytes=10-1000", (10, 99)), ("Bytes=0-9", (0, 9)),
            # 14.2: a server may ignore the field, and must, if it does not understand it.
            ("lines=0-1", 200), ("bytes", 200), ("bytes=", 200), ("bytes=5-4", 200), ("bytes=a-b", 200),
            ("bytes=1", 200), ("bytes=--1", 200), ("bytes=0-1,5-6", 200), ("bytes=0-,0-,0-,0-", 200),
            ("bytes=100-", 416), ("bytes=100-200", 416), ("bytes=-0", 416)):
        answer = one(example, f"Range: {text}")
        if expected == 200:
            assert (answer.status, answer.body) == (200, SMALL), text
        elif expected == 416:
            assert (answer.status, answer.fields["content-range"]) == (416, "bytes */100"), (text, answer)
        else:
            first, last = expected
            assert (answer.status, answer.body) == (206, SMALL[first:last + 1]), (text, answer)
            assert answer.fields["content-range"] == f"bytes {first}-{last}/100", (text, answer)
            assert {"etag", "last-modified", "date"} <= answer.fields.keys()  # 15.3.7
    assert one(example, "Range: bytes=0-1", target="/empty").status in (200, 416)


with tempfile.TemporaryDirectory() as work:
    site = pathlib.Path(work)
    (site / "folder").mkdir()
    (site / "small").write_bytes(SMALL)
    (site / "empty").write_bytes(b"")
    os.utime(site / "small", (1_000_000_000,) * 2)
    with Example(0, "--policy", POLICY, *WORKERS, "--directory", site, "--log", "", "--drain", 1) as server:
        check_messages(server)
        check_answers(server)
        check_conditions(server, site)
        check_ranges(server)
    assert server.errors == "", server.errors
