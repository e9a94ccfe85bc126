# SPDX-License-Identifier: MIT
"""filter.py <file>: what Doxygen reads of a page or header, where it reads it otherwise than GitHub does."""

import pathlib
import re
import sys

path = pathlib.Path(sys.argv[1])
text = path.read_text()
if path.suffix == ".md":
    root = pathlib.Path(__file__).resolve().parents[2]
    folder = path.resolve().parent.relative_to(root)

    def slug(heading):
        """As GitHub makes an anchor of a heading."""
        plain = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", lambda m: m[1] or "", heading)
        return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")

    def link(match):
        """A link to what is no page of the site is a name: the file is in the repository."""
        label, target = match[1].replace("\n", " "), match[2]  # a label of two lines Doxygen does not see
        file, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            return match[0]
        where = (root / folder / file) if file else path
        resolved = where.resolve().relative_to(root).as_posix()
        if not re.fullmatch(r"README\.md|docs/(guide/.*|tutorial|python-parity|site/diagrams)\.md", resolved):
            return f"{label} (`{resolved}`)"
        return f"[{label}](@ref {page_name(resolved)}{'_' + anchor if anchor else ''})"

    def page_name(resolved):
        return "index" if resolved == "README.md" else re.sub(r"\W+", "_", resolved.removesuffix(".md"))

    def code(match):
        text = match[1].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\\", "\\\\")
        return f"<code>{text.replace('@', chr(92) + '@').replace('::', chr(92) + '::')}</code>"

    name = page_name(path.resolve().relative_to(root).as_posix())
    blocks = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    for i in range(0, len(blocks), 2):
        blocks[i] = re.sub(r"<!--.*?-->\n?", "", blocks[i], flags=re.DOTALL)
        # In a span of code nothing is a command or a name to link to.
        blocks[i] = re.sub(r"`([^`\n]*[@\\\\][^`\n]*|[^`\n]*::[^`\n]*)`", code, blocks[i])
        blocks[i] = re.sub(r"(?<!!)\[((?:[^\]\[]|\n)+)\]\(([^)\s]+)\)", link, blocks[i])
        blocks[i] = re.sub(r"^(##+) (.*)$", lambda m: f"{m[1]} {m[2]} {{#{name}_{slug(m[2])}}}", blocks[i],
                           flags=re.MULTILINE)
    for i in range(1, len(blocks), 2):
        blocks[i] = re.sub(r"^```(\w+)$", r"```{.\1}", blocks[i], count=1, flags=re.MULTILINE)
    text = "".join(blocks)
    if name != "index":
        text = re.sub(r"^# (.*)$", rf"# \1 {{#{name}}}", text, count=1, flags=re.MULTILINE)
else:
    # Doxygen looks for the namespace of what is specialised here.
    text = re.sub(r"^template <>\nstruct fmt::formatter<.*?^\};$", "", text, flags=re.MULTILINE | re.DOTALL)
sys.stdout.write(text)
