# SPDX-License-Identifier: MIT
import socket

from example import Example

GROUP = "239.255.255.250"
SERVICE = "urn:example-org:service:clock:1"


def search(target, man='"ssdp:discover"', first="M-SEARCH * HTTP/1.1"):
    lines = first, f"HOST: {GROUP}:1900", f"MAN: {man}", "MX: 1", f"St:{target}", "", ""
    return "\r\n".join(lines).encode()


with Example(0, "lo") as example:
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(10)
    client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    to = GROUP, example.address[1]
    # What is not answered, then what is: the only answer is to the last one.
    client.sendto(search("urn:example-org:service:lamp:1"), to)
    client.sendto(search(SERVICE, man='"other"'), to)
    client.sendto(search(SERVICE, first="NOTIFY * HTTP/1.1"), to)
    client.sendto(b"", to)
    client.sendto(search(SERVICE), to)
    reply, address = client.recvfrom(2000)
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n"), reply
    assert f"\r\nST: {SERVICE}\r\n".encode() in reply, reply
    assert address == ("127.0.0.1", to[1]), address
assert example.errors == "", example.errors
