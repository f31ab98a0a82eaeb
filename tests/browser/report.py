#!/usr/bin/env python3
"""Loads the HTML report in headless Chromium and uses it: sort, filter, hover, keys, theme, narrow screen.

    report.py PAGE FOLDER      (screenshots go to FOLDER)

Only Python's standard library; speaks WebDriver to chromedriver. Ends with 1 and says what failed.
"""

import base64
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --force-device-scale-factor=1"
).split()


class Browser:
    """One session of chromedriver on a port of its choosing, with a new profile."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="tagcl-browser-")
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for line in self.driver.stdout:
            if "started successfully on port" in line:
                self.base = "http://127.0.0.1:" + line.rsplit(" ", 1)[1].strip(" .\n")
                break
        else:
            raise SystemExit("chromedriver did not start")
        options = {
            "args": [*FLAGS, f"--user-data-dir={self.profile}"],
            "binary": shutil.which("chromium") or shutil.which("chromium-browser"),
        }
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        answer = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}}, session=False)
        self.session = answer["sessionId"]

    def call(self, method, path, body=None, session=True):
        url = self.base + (f"/session/{self.session}" if session else "") + path
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.read().decode()}") from error

    def js(self, script, *args):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def find(self, selector):
        return self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.call("POST", f"/element/{self.find(selector)}/click", {})

    def keys(self, text):
        presses = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": presses}]})

    def move(self, x, y):
        step = {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
        self.call("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": [step]}]})

    def size(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def cdp(self, command, **params):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def shot(self, path, whole=True):
        picture = self.cdp("Page.captureScreenshot", captureBeyondViewport=whole, format="png")["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(picture))

    def log(self, kind):
        return self.call("POST", "/se/log", {"type": kind})

    def quit(self):
        try:
            self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(10)
            shutil.rmtree(self.profile, ignore_errors=True)


failures = []


def check(what, found, expected=True):
    good = found == expected
    print(("ok    " if good else "FAIL  ") + what + ("" if good else f": {found!r}, not {expected!r}"))
    if not good:
        failures.append(what)


def column(browser, index, within="#results"):
    """The sort keys of the visible rows of one table, or of all."""
    return browser.js(
        "return [...document.querySelectorAll(arguments[1] + ' tbody tr:not([hidden])')]"
        ".map(r => r.cells[arguments[0]].dataset.v ?? r.cells[arguments[0]].textContent)", index, within)


def luminance(browser, selector):
    colour = browser.js("return getComputedStyle(document.querySelector(arguments[0])).backgroundColor", selector)
    red, green, blue = (float(x) for x in colour[colour.index("(") + 1 : -1].split(",")[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def use(browser, page, folder):
    browser.size(1280, 900)
    browser.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    browser.call("POST", "/url", {"url": page.resolve().as_uri()})
    rows = browser.js("return document.querySelectorAll('#results tbody tr').length")
    check("all rows are there", rows, 6)
    check("every row has a label and every heading a sort state", browser.js(
        "return document.querySelectorAll('#results tbody th[scope=row]').length === arguments[0]"
        " && [...document.querySelectorAll('#results thead th')].every(t => t.getAttribute('aria-sort') === 'none')", rows))
    check("ids are unique", browser.js(
        "const ids = [...document.querySelectorAll('[id]')].map(e => e.id); return new Set(ids).size === ids.length"))
    check("every plot has a name and a description", browser.js(
        "return [...document.querySelectorAll('svg.plot')].every(s => s.getAttribute('aria-labelledby').split(' ')"
        ".every(id => document.getElementById(id).textContent.length > 10))"))
    check("nothing is wider than the page", browser.js(
        "return document.documentElement.scrollWidth <= innerWidth"))
    browser.shot(folder / "light.png")

    # Sorting, a table for itself.
    first = "#results .stage:first-child"
    headings = browser.js(f"return [...document.querySelectorAll('{first} thead button')].map(b => b.textContent)")
    accuracy = headings.index("accuracy %")
    button = f"{first} thead th:nth-child({accuracy + 1}) button"
    browser.click(button)
    up = [float(x) for x in column(browser, accuracy, first)]
    check("sorted upwards by number", up, sorted(up))
    check("aria-sort says so", browser.js("return document.querySelectorAll('th[aria-sort=ascending]').length"), 1)
    browser.js("document.querySelector(arguments[0]).focus()", button)
    browser.keys("\ue007")
    down = [float(x) for x in column(browser, accuracy, first)]
    check("sorted downwards by the keyboard", down, sorted(up, reverse=True))
    browser.click(f"{first} thead th:nth-child(1) button")
    names = column(browser, 0, first)
    check("sorted by text", names, sorted(names, key=str.lower))

    # Filters: rows, details, plots and the count go together.
    browser.js("const s = document.querySelector('select[name=optimizer]'); s.value = 'tag-rmsprop';"
               " s.dispatchEvent(new Event('input', {bubbles: true}))")
    check("one row is left", len(column(browser, 0)), 1)
    check("the count says so", browser.js("return document.querySelector('#count').textContent"),
          "1 of 6 configurations shown")
    check("details follow", browser.js("return document.querySelectorAll('details[id^=g]:not([hidden])').length"), 1)
    check("the other series are gone from the plots", browser.js(
        "const on = [...document.querySelectorAll('figure:not([hidden]) svg [data-group]:not(.off)')];"
        " return on.length > 0 && new Set(on.map(g => g.dataset.group)).size === 1"))
    browser.shot(folder / "filtered.png")
    browser.click("#filters button[type=reset]")
    time.sleep(0.2)
    check("all rows are back", len(column(browser, 0)), 6)
    browser.js("const i = document.querySelector('#filters input'); i.value = 'permuted er';"
               " i.dispatchEvent(new Event('input', {bubbles: true}))")
    check("words filter", len(column(browser, 0)), 1)
    browser.click("#filters button[type=reset]")
    time.sleep(0.2)

    # Values on hovering.
    place = browser.js(
        "const m = document.querySelector('svg.plot circle[data-tip]'); m.scrollIntoView({block: 'center'});"
        " const b = m.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2, m.dataset.tip]")
    browser.move(*place[:2])
    check("hovering shows the value", browser.js("return document.querySelector('#tip').textContent"), place[2])
    check("where it can be seen", browser.js("return !document.querySelector('#tip').hidden"))
    browser.shot(folder / "hover.png", whole=False)
    browser.js("document.querySelector('svg.plot').focus()")
    browser.keys("\ue014\ue014")
    check("arrow keys read values aloud", browser.js(
        "const t = document.querySelector('#live').textContent;"
        " return t.length > 5 && t === document.querySelector('#tip').textContent"))

    # Details: opened by the row's link; heat maps read by cell.
    browser.js("document.querySelector('tr[data-optimizer=tag-rmsprop] th a').click()")
    time.sleep(0.3)
    check("the link opens the details", browser.js(
        "return document.getElementById(location.hash.slice(1)).open"))
    check("the command is there", browser.js(
        "return document.querySelector('details[open] pre code').textContent").startswith(
        "tagcl run --benchmark rotated-mnist --data embedded"))
    cell = browser.js(
        "const g = document.querySelector('details[open] .cells'); g.closest('svg').scrollIntoView({block: 'center'});"
        " const b = g.getBoundingClientRect(); const v = g.dataset.values.split(';');"
        " return [b.x + 2, b.bottom - 2, v.at(-1).split(',')[0]]")
    browser.move(*cell[:2])
    text = browser.js("return document.querySelector('#tip').hidden ? '' : document.querySelector('#tip').textContent")
    check("hovering a cell shows its value", text, f"after task 4, on task 1: {cell[2]}")
    browser.shot(folder / "details.png", whole=False)

    # Themes.
    check("light at first", luminance(browser, "body") > 200)
    browser.click("#theme")
    check("dark after the button", luminance(browser, "body") < 60)
    browser.shot(folder / "dark.png")
    check("the choice is kept", browser.js("return localStorage.getItem('tagcl-theme')"), "dark")
    browser.js("localStorage.clear()")
    browser.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.call("POST", "/refresh", {})
    check("dark where the system is", luminance(browser, "body") < 60)

    # A narrow screen.
    browser.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    browser.size(390, 844)
    check("a narrow page does not scroll sideways", browser.js(
        "return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1"
        " && !e.closest('.scroll, .figscroll, pre')).map(e => e.tagName + '.' + e.className)"), [])
    browser.shot(folder / "narrow.png")

    # Keyboard: the first stop is the skip link.
    browser.call("POST", "/url", {"url": "about:blank"})
    browser.call("POST", "/url", {"url": page.resolve().as_uri()})
    browser.keys("\ue004")
    check("the skip link comes first", browser.js("return document.activeElement.className"), "skip")

    complaints = [e["message"] for e in browser.log("browser")]
    check("no console messages", complaints, [])
    requests = [json.loads(e["message"])["message"] for e in browser.log("performance")]
    urls = {r["params"]["request"]["url"] for r in requests if r["method"] == "Network.requestWillBeSent"}
    fetched = sorted(u[:80] for u in urls if not u.startswith(("file:", "data:", "chrome", "about:")))
    check("nothing is fetched", fetched, [])


def main():
    page, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    browser = Browser()
    try:
        use(browser, page, folder)
    finally:
        browser.quit()
    if failures:
        raise SystemExit(f"{len(failures)} failed: " + "; ".join(failures))
    print("all good")


if __name__ == "__main__":
    main()
