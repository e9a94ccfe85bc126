# SPDX-License-Identifier: MIT
"""check-packaging.py <repository>: the recipes in packaging/ can be read, and have the version of the library."""

import json
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
packaging = root / "packaging"
numbers = re.findall(r"define SOCKETSERVER_VERSION_\w+ (\d+)", (root / "include/socketserver/version.hpp").read_text())
version = ".".join(numbers)
assert len(numbers) == 3, numbers

sources = [*packaging.rglob("*.py"), *packaging.rglob("*.bazel")]  # Starlark is a part of Python
assert len(sources) == 4, sources
for source in sources:
    compile(source.read_text(), source, "exec")

port = json.loads((packaging / "vcpkg/socketserver/vcpkg.json").read_text())
recipe = (packaging / "conan/conanfile.py").read_text()
module = (packaging / "bazel/MODULE.bazel").read_text()
found = {
    "vcpkg.json": port["version"],
    "conanfile.py": re.search(r'^    version = "(.*)"', recipe, re.MULTILINE)[1],
    "MODULE.bazel": re.search(r'name = "socketserver", version = "(.*?)"', module)[1],
}
wrong = {name: each for name, each in found.items() if each != version}
if wrong:
    sys.exit(f"the version is {version}, but packaging/ has {wrong}")
