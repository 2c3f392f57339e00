"""The pages of the service: its OpenAPI document, to read and try out, and its kinds of problems."""

from __future__ import annotations

import base64
import hashlib
import html
import re

from propensity.contract.problem import Kind
from propensity.settings import HAS_PAGE

_SCRIPT = """\
const base = document.createElement("base");
base.href = `${location.origin}${location.pathname.replace(/\\/?$/, "/")}`;
const style = document.createElement("link");
style.rel = "stylesheet";
style.href = "static_content/swagger-ui.css";
const script = document.createElement("script");
script.src = "static_content/swagger-ui-bundle.js";
script.onload = () => SwaggerUIBundle({url: new URL("docs.json", base.href).href, dom_id: "#swagger-ui"});
document.head.append(base, style, script);"""
"""Sets the base URL, since behind a proxy that strips a prefix the page's URL may lack its final slash. Style
and script are loaded only then: browsers would preload them from the wrong place if the page named them."""

_INDEX = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<link rel="icon" href="data:,"></head>
<body>{link}<div id="swagger-ui"></div>
<script>{script}</script>
</body></html>
"""


def index(title: str) -> str:
    """Return the page that shows the OpenAPI document."""
    return _INDEX.format(title=html.escape(title), link=_LINK, script=_SCRIPT)


_LINK = '<p><a href="try">Try the model out, without any code</a></p>\n' if HAS_PAGE else ""


HEADERS = {
    # Swagger UI styles its elements one by one and draws its icons from data URLs.
    "Content-Security-Policy": (
        "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline';"
        f" script-src 'self' 'sha256-{base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()}';"
        " base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


def _advice(kind: Kind) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(kind.advice))


PROBLEMS = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Problems</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem }}
h2 {{ font-size: 1.1rem; margin: 1.6rem 0 0 }} h2 code {{ color: #555; font-weight: normal }}
:target {{ background: #fff3bf }}
</style></head>
<body><h1>Problems</h1>
<p>Every error of this API is a problem document (RFC 9457). Its <code>type</code> names a place on this page,
<code>detail</code> says what went wrong and what to do, <code>errors</code> lists the fields at fault.</p>
{
    "".join(
        f'<h2 id="{kind.anchor}">{html.escape(kind.title)} <code>{kind.status} #{kind.anchor}</code></h2>'
        f"<p>{_advice(kind)}</p>"
        for kind in Kind
    )
}</body></html>
"""
