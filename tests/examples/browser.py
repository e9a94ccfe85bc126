# SPDX-License-Identifier: MIT
"""Headless Chromium for tests, by the protocol of WebDriver."""

import http.client
import json
import os
import shutil
import subprocess
import time


def have_browser():
    if shutil.which("chromium") and shutil.which("chromedriver"):
        return True
    print("passed over: chromium and chromium-driver are not installed")
    return False


class Browser:
    """One window; `with` ends it."""

    def __init__(self, folder, *arguments):
        """`folder` is an empty one, for what the browser keeps; `arguments` are more of Chromium's."""
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                            f"--user-data-dir={folder}", *arguments]}
        # The process ends with this one, and its browser with it.
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True,
                                       stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(folder)})
        for line in self.driver.stdout:
            if "started successfully on port" in line:
                self.port = int(line.rstrip(".\n").split()[-1])
                break
        else:
            raise AssertionError("chromedriver does not start")
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        answer = self._post("/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{answer['sessionId']}"

    def _call(self, method, path, data=None):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        client.request(method, path, data and json.dumps(data), {"Content-Type": "application/json"})
        answer = json.loads(client.getresponse().read())["value"]
        client.close()
        assert not isinstance(answer, dict) or "error" not in answer, answer
        return answer

    def _post(self, path, data):
        return self._call("POST", path, data)

    def open(self, url):
        """Returns when all that the page names is loaded."""
        self._post(self.session + "/url", {"url": url})

    def run(self, script, *arguments):
        """What the script returns; if it is a Promise, what that becomes."""
        return self._post(self.session + "/execute/sync", {"script": script, "args": list(arguments)})

    def wait_for(self, script, *arguments):
        """Runs the script until what it returns is true, and returns that."""
        deadline = time.monotonic() + 20
        while not (result := self.run(script, *arguments)):
            assert time.monotonic() < deadline, (script, arguments, self.run("return document.body.innerText"))
            time.sleep(0.01)
        return result

    def type(self, selector, text):
        """Presses the keys of `text` in a field that a CSS selector names."""
        found = self._post(self.session + "/element", {"using": "css selector", "value": selector})
        (identity,) = found.values()
        self._post(f"{self.session}/element/{identity}/value", {"text": text})

    def resize(self, width, height):
        """The part of the window that shows the page, in CSS pixels."""
        self._command("Emulation.setDeviceMetricsOverride",
                      width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def prefer_dark(self, is_dark):
        self._command("Emulation.setEmulatedMedia",
                      features=[{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}])

    def _command(self, name, **parameters):
        self._post(self.session + "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def screenshot(self):
        """In PNG, encoded with base64."""
        return self._call("GET", self.session + "/screenshot")

    def complaints(self):
        """What the console has been told since the last call, beside what is said for information."""
        entries = self._post(self.session + "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]

    def fetched(self):
        """The URLs that were asked for since the last call."""
        entries = self._post(self.session + "/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in entries]
        return [event["params"]["request"]["url"] for event in events
                if event["method"] == "Network.requestWillBeSent"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._call("DELETE", self.session)
        self.driver.terminate()
        self.driver.wait(20)
        self.driver.stdout.close()
