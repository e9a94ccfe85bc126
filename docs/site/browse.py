# SPDX-License-Identifier: MIT
"""browse.py <folder of the site> [<folder for screenshots>]: what headless Chromium makes of the site.

On a wide and on a narrow screen, light and dark: no page complains on the console, asks another host, or is wider than
the screen; the search finds a name; code can be copied; links within the guide lead where they say.
"""

import base64
import functools
import http.server
import pathlib
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "examples"))

from browser import Browser, have_browser  # noqa: E402

SCREENS = {"wide": (1400, 900), "narrow": (390, 844)}
# What a visitor sees first, and pages of every kind: prose, tables, code, pictures, a class, a file, an index.
LOOKED_AT = {"index", "docs_tutorial", "docs_python_parity", "docs_performance", "docs_site_diagrams",
             "docs_guide_handlers", "classsocketserver_1_1StreamRequestHandler", "annotated", "hierarchy"}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


def serve(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/"


def check_page(browser, root, name, screen):
    browser.open(root + name)
    problems = [f"console: {text}" for text in browser.complaints()]
    problems += [f"asks {url}" for url in browser.fetched() if url.startswith(("http", "ws")) and not url.startswith(root)]
    width = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
    if width[0] > width[1]:
        problems.append(f"{width[0]} pixels wide on a screen of {width[1]}")
    broken = browser.run("return [...document.images].filter(e => e.complete && !e.naturalWidth).map(e => e.src)")
    problems += [f"no picture {each}" for each in broken]
    return [f"{name}, {screen}: {each}" for each in problems]


def check_search(browser, root):
    """Types a name as a visitor does, and goes where the first result leads."""
    browser.open(root + "index.html")
    browser.type("#MSearchField", "verify_request")
    found = """const frame = document.getElementById("MSearchResults").contentDocument;
        const results = [...frame.querySelectorAll(".SRResult")]
            .filter(each => each.offsetParent && each.innerText.includes("verify_request"));
        return results.length ? results[0].querySelector("a[href*='.html']").href : null"""
    target = browser.wait_for(found)
    browser.open(target)
    assert "verify_request" in browser.run("return document.body.innerText"), target


def check_copying(browser, root):
    browser.open(root + "index.html")
    browser.run("""window.copied = [];
        Object.defineProperty(navigator, "clipboard", {value: {writeText: async text => window.copied.push(text)}});
        document.querySelector("button.copy").click();""")
    copied = browser.wait_for("return window.copied.length && window.copied[0]")
    shown = browser.run("""return document.querySelector("div.copyable .fragment").innerText""")
    assert copied.split() == shown.split(), (copied, shown)
    blocks, buttons = browser.run("""return [document.querySelectorAll("div.fragment, pre.fragment").length,
        document.querySelectorAll("button.copy").length]""")
    assert blocks == buttons > 0, (blocks, buttons)


def main():
    site = pathlib.Path(sys.argv[1])
    pictures = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    root = serve(site)
    names = sorted(path.name for path in site.glob("*.html")
                   if path.stem in LOOKED_AT or path.name.startswith("docs_"))
    assert len(names) > 15, names
    problems = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, Browser(profile) as browser:
        for screen, size in SCREENS.items():
            browser.resize(*size)
            for is_dark in (False, True):
                browser.prefer_dark(is_dark)
                for name in names:
                    problems += check_page(browser, root, name, f"{screen}{', dark' if is_dark else ''}")
                    if pictures and name.removesuffix(".html") in LOOKED_AT:
                        file = pictures / f"{name.removesuffix('.html')}-{screen}{'-dark' if is_dark else ''}.png"
                        file.write_bytes(base64.b64decode(browser.screenshot()))
        browser.resize(*SCREENS["wide"])
        check_search(browser, root)
        check_copying(browser, root)
    print("\n".join(problems))
    if problems:
        sys.exit(1)
    print(f"{len(names)} pages, each on {len(SCREENS)} screens, light and dark: nothing is wrong")


if not have_browser():
    sys.exit(77)
main()
