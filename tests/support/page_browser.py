"""Headless Chromium on one page of a file, and what a page may not do there: fetch anything, or log an error."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headstart.deploy.serve.run import listen

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
NEEDS = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="no chromium and chromedriver: apt install chromium-driver"),
]
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
SIZES = {"desk": (1280, 900, False), "phone": (390, 844, True)}  # width, height, whether it is a phone


@contextmanager
def opened(
    page: Path | str, size: tuple[int, int, bool], places: pytest.TempPathFactory, *levels: str, offline: bool = False
) -> Iterator[Any]:
    """Give a browser with the page open; afterwards: no entry of these levels was logged, and nothing was fetched.

    Of a page with an address, nothing was fetched from elsewhere.
    """
    width, height, phone = size
    driver = _idle.pop() if _idle else _started()
    try:
        if offline:
            driver.execute_cdp_cmd("Network.enable", {})
            off = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
            driver.execute_cdp_cmd("Network.emulateNetworkConditions", off)
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.downloads, driver.phone = places.mktemp("downloads"), phone
        way = {"behavior": "allow", "downloadPath": str(driver.downloads)}
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", way)
        address = page.as_uri() if isinstance(page, Path) else page
        driver.get(address)
        yield driver
        assert [entry for entry in driver.get_log("browser") if entry["level"] in levels] == []
        sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
        fetched = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
        own = address if isinstance(page, Path) else "/".join(address.split("/")[:3])  # http://host:port
        assert [url for url in fetched if url.startswith(("http", "ws", "ftp")) and not url.startswith(own)] == []
        _emptied(driver)
    except BaseException:
        driver.quit()
        raise
    _idle.append(driver)


_idle: list[Any] = []  # browsers whose pages are closed: the next page need not wait for another to start


def _started() -> Any:
    """Start a browser with a profile of its own, which ends with the tests."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tempfile.TemporaryDirectory(prefix="headstart-browser-", ignore_cleanup_errors=True)
    for flag in (*FLAGS, f"--user-data-dir={profile.name}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    atexit.register(profile.cleanup)
    atexit.register(driver.quit)  # first: what is registered last is called first
    return driver


def _emptied(driver: Any) -> None:
    """Close all pages and forget what they stored; a new tab has no size, no medium and no offline mode set."""
    for handle in driver.window_handles:
        driver.switch_to.window(handle)
        driver.execute_script("localStorage.clear(); sessionStorage.clear()")
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    used = driver.window_handles
    driver.switch_to.new_window("tab")
    fresh = driver.current_window_handle
    for handle in used:
        driver.switch_to.window(handle)
        driver.close()
    driver.switch_to.window(fresh)
    for log in ("browser", "performance"):
        driver.get_log(log)


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve the page of people, whose key is "key", in a thread; give its address."""
    import uvicorn

    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=lambda: server.run(sockets=[listening]))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/open/key"
        finally:
            server.should_exit = True
            thread.join()


def text(driver: Any, place: str) -> str:
    return str(driver.find_element("id", place).text)


def wait(driver: Any, holds: Any) -> None:
    """Wait until something holds; it is asked at least once."""
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until, driver.find_element("tag name", "body").text
        time.sleep(0.02)


def press(driver: Any, key: str) -> None:
    driver.find_element("tag name", "body").send_keys(key)
