"""A headless Chromium that reaches the service and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, sync_playwright


@dataclass(frozen=True)
class Visit:
    """A page, its requests to other hosts, and the browser's complaints."""

    page: Page
    known: set[str]
    elsewhere: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a Chromium."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium (apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:
    """Open an empty page that may ask the server of a URL alone; options as of a context of Playwright."""
    context = browser.new_context(**options)
    page = context.new_page()
    visit = Visit(page, {urlsplit(url).netloc})

    def only_the_service(route: Route) -> None:
        url = route.request.url
        if url.startswith(("data:", "blob:")) or urlsplit(url).netloc in visit.known:
            route.continue_()
        else:
            visit.elsewhere.append(url)
            route.abort()

    def complain(message: ConsoleMessage) -> None:
        if message.type == "error":
            visit.complaints.append(message.text)

    page.route("**/*", only_the_service)
    page.on("console", complain)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    yield visit
    context.close()
