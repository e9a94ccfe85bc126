# SPDX-License-Identifier: MIT
"""Every policy of the arguments, each on four transports."""

import re
import subprocess
import sys

from example import PROGRAM

demo = subprocess.run(PROGRAM, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=50)
assert demo.returncode == 0, demo
assert demo.stderr == "", demo.stderr
combinations = 4 * len(sys.argv[2:])
assert re.search(rf"^{combinations} of {combinations} combinations answered$", demo.stdout, re.M), demo.stdout
for policy in sys.argv[2:]:
    assert re.search(rf"^{policy} ", demo.stdout, re.M), (policy, demo.stdout)
assert demo.stdout.count("HELLO FROM SOCKETSERVER") == combinations, demo.stdout
