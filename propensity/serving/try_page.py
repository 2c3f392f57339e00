"""The page at `/try`: static files, which the browser fills by the contract of the model.

They lie in `page/`, as they are served: no build makes them. All that they show comes from the operations of
this API, with the token of whoever looks.
"""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from propensity.access.authorization import TRY
from propensity.settings import HAS_PAGE

_HEADERS = {
    # No style and no script but those files, and no request to anywhere else.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Modules of two versions would not fit together.
    "Cache-Control": "no-cache",
}

_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}

_FOLDER = Path(__file__).with_name("page")


def _read() -> dict[str, Response]:
    """Return the response of each file, by its path below `/try/`."""
    return {
        path.relative_to(_FOLDER).as_posix(): Response(
            path.read_bytes(), headers=_HEADERS, media_type=_MEDIA_TYPES[path.suffix]
        )
        for path in sorted(_FOLDER.rglob("*"))
        if path.suffix in _MEDIA_TYPES
    }


def routes() -> list[BaseRoute]:
    """Return the routes of the page; none if `PROPENSITY_PAGE` is off."""
    if not HAS_PAGE:
        return []
    files = _read()
    page = files.pop("try.html")

    async def show(_: Request) -> Response:
        """`GET /try`: the page."""
        return page

    async def file(request: Request) -> Response:
        """`GET /try/NAME`: what the page consists of."""
        name = request.path_params["name"]
        if not name:
            # Relative, since a proxy may have stripped a prefix; its files are relative to the other URL.
            return Response(status_code=308, headers={"Location": f"..{TRY}"})
        if name not in files:
            raise HTTPException(404)
        return files[name]

    return [
        Route(TRY, show, methods=["GET"]),
        Mount(TRY, routes=[Route("/{name:path}", file, methods=["GET"])]),
    ]
