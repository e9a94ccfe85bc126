# SPDX-License-Identifier: MIT
"""check.py <folder of the site>: no link leads nowhere, nothing is fetched from another host, the search knows the names.

What a browser makes of the site is seen by browse.py.
"""

import html.parser
import pathlib
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.links, self.fetched, self.anchors = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors.update(given[key] for key in ("id", "name") if given.get(key))
        if tag in ("a", "area") and given.get("href"):
            self.links.append(given["href"])
        for key in ("src", "href", "data"):
            if tag not in ("a", "area") and given.get(key):
                self.fetched.append(given[key])


site = pathlib.Path(sys.argv[1]).resolve()
pages = {path: Page(path.read_text()) for path in site.rglob("*.html")}
assert len(pages) > 50, f"{len(pages)} pages"
problems = []
for path, page in pages.items():
    for target in page.links + page.fetched:
        url = urllib.parse.urlsplit(target)
        if url.scheme or url.netloc:
            if target in page.fetched and url.scheme not in ("data", "javascript"):
                problems.append(f"{path.name} fetches {target}")
            continue
        file = (path.parent / urllib.parse.unquote(url.path)).resolve() if url.path else path
        if not file.exists():
            problems.append(f"{path.name} links to {target}, which is not there")
        # Doxygen links to this heading where all that would stand below it is private.
        elif url.fragment not in ("", "nested-classes") and file in pages and urllib.parse.unquote(url.fragment) not in pages[file].anchors:
            problems.append(f"{path.name} links to {target}, and there is no such place")
index = "".join(path.read_text() for path in (site / "search").glob("all_*.js"))
problems += [f"the search does not know {name}" for name in ("verify_request", "ThreadingMixIn") if name not in index]
if problems:
    sys.exit("\n".join(sorted(set(problems))))
