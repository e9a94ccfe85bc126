# SPDX-License-Identifier: MIT
import subprocess
import tempfile

from certificate import make_certificate
from example import PROGRAM

with tempfile.TemporaryDirectory() as folder:
    subprocess.run([*PROGRAM, *make_certificate(folder)], check=True, timeout=40)
