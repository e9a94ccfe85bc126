# SPDX-License-Identifier: MIT
"""gssdp-discover, a client of UPnP that nobody here wrote, finds the responder.

Where the system allows it, both run in a network of their own, in which nobody else has port 1900.
"""
import os
import shutil
import subprocess
import sys

SERVICE = "urn:example-org:service:clock:1"

if not shutil.which("gssdp-discover"):
    print("gssdp-discover is not there (Debian: gupnp-tools)")
    sys.exit(77)

IN_OWN_NETWORK = "SSDP_IN_OWN_NETWORK"
if IN_OWN_NETWORK not in os.environ:
    unshare = ["unshare", "--net", *(["--map-root-user"] if os.getuid() != 0 else [])]
    lo_up = "ip link set lo up && ip route add 224.0.0.0/4 dev lo"
    if subprocess.run([*unshare, "sh", "-c", lo_up], capture_output=True, check=False).returncode == 0:
        os.environ[IN_OWN_NETWORK] = "1"
        os.execvp("unshare", [*unshare, "sh", "-c", f'{lo_up} && exec "$@"', "sh",
                              sys.executable, "-B", *sys.argv])

from example import Example  # noqa: E402


def discover(target):
    """What the client has found in three seconds."""
    command = ["gssdp-discover", "--interface=lo", f"--target={target}", "--timeout=3"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


with Example(1900, "lo") as example:
    found = discover(SERVICE)
    assert "resource available" in found, found
    assert SERVICE in found and "http://localhost/clock.xml" in found, found
    assert SERVICE in discover("ssdp:all")
    assert "urn:example-org:service:clock" not in discover("urn:example-org:service:lamp:1")
assert example.errors == "", example.errors
