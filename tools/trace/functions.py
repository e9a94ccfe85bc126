# SPDX-License-Identifier: MIT
"""What a function of the library is called, where it stands, and what its body is."""

import re


def without_brackets(text, opening, closing):
    """Leaves out what stands between brackets, with them."""
    result, depth = "", 0
    i = 0
    while i < len(text):
        operator = re.compile(r"operator(\(\)|[<>=!+\-*/%&|^~\[\],]+)").match(text, i)
        if operator:
            if depth == 0:
                result += operator.group()
            i = operator.end()
            continue
        if text[i] == opening:
            depth += 1
        if depth == 0:
            result += text[i]
        if text[i] == closing:
            depth -= 1
        i += 1
    return result


class Name:
    """A demangled name, taken apart."""

    def __init__(self, demangled):
        text = demangled.replace("(anonymous namespace)", "{anonymous}")
        text = re.sub(r"\{lambda\([^{}]*\)#(\d+)\}", r"{lambda#\1}", text)
        text = re.sub(r"\[clone [^]]*\]|\[abi:[^]]*\]", "", text)
        text = without_brackets(text, "<", ">")
        text = without_brackets(text, "(", ")")
        text = re.sub(r"(?<![\w}])(const|volatile|&&?)(?![\w{])", "", text).strip()
        # What is left is the type of the result, if it is named at all, and the name.
        conversion = re.search(r"operator [\w:&* ]+$", text)
        cut = text.rfind(" ", 0, conversion.start() if conversion else len(text))
        self.parts = text[cut + 1:].split("::")  # without arguments and template arguments

    @property
    def is_of_library(self):
        return self.parts[0] == "socketserver"

    @property
    def short(self):
        """As the page names it."""
        parts = [part for part in self.parts if part not in ("socketserver", "detail", "sys", "{anonymous}")]
        parts = ["lambda" if re.fullmatch(r"\{lambda#\d+\}", part) else part for part in parts]
        if parts[-1] == "operator()" and len(parts) > 1 and parts[-2] == "lambda":
            parts.pop()
        return "::".join(parts) + "()"


def blank_comments_and_texts(source):
    """The source without comments and with empty texts; everything stays on its line."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)

    def blank(match):
        text = match.group()
        return text if text[0] in "\"'" and len(text) == 2 else re.sub(r"[^\n]", " ", text)
    return pattern.sub(blank, source)


def body(source, line):
    """The body of the function that begins on this line (from 1), without its braces; None if there is none.

    `source` has no comments. Of a constructor this may be one of its initialisers instead.
    """
    lines = source.split("\n")
    text = "\n".join(lines[line - 1:])
    depth = 0
    parameters = False
    for i, character in enumerate(text):
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
            parameters = parameters or (character == ")" and depth == 0)
        elif character == "{" and depth == 0 and (parameters or "[" in text[:i]):
            level = 0
            for j in range(i, len(text)):
                level += (text[j] == "{") - (text[j] == "}")
                if level == 0:
                    return text[i + 1:j].strip()
            return None
        elif character == ";" and depth == 0:
            return None  # no body of its own: "= default"
    return None


def is_one_return(text):
    """Whether this body is one return statement, which makes no system call."""
    return text is not None and text.startswith("return ") and text.find(";") == len(text) - 1 and "sys::" not in text
