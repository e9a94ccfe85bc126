# SPDX-License-Identifier: MIT
import re
import subprocess
import sys

demo = subprocess.run([sys.argv[1]], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=50)
assert demo.returncode == 0, demo
assert demo.stderr == "", demo.stderr
answered, combinations = re.search(r"^(\d+) of (\d+) combinations answered$", demo.stdout, re.M).groups()
assert answered == combinations and int(combinations) % 4 == 0, demo.stdout
assert demo.stdout.count("HELLO FROM SOCKETSERVER") == int(combinations), demo.stdout
