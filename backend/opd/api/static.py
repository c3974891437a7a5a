"""The page itself: the built user interface from the package, and its index for every address of the client's.

Which files exist is read once at start, so an address can only ever name one of them.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

_NO_PAGES = (
    b"<!doctype html><title>OPD Studio</title><h1>OPD Studio</h1>"
    b"<p>The server runs, but its pages are not built. In a checkout: <code>make build</code>.</p>"
)
_NOT_FOUND = {
    "error": {
        "code": "not_found",
        "message": "There is nothing at this address.",
        "hint": "See /api/openapi.json for the addresses that there are.",
        "details": {},
    }
}
# Types that some systems' tables get wrong; a browser refuses scripts of another type.
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


def ui_dir() -> Path:
    """Where the built user interface lies in the package."""
    return Path(__file__).resolve().parents[1] / "ui"


def page_route(folder: Path) -> Route:
    """The last route of the application: files of the page, else its index."""
    return Route("/{path:path}", _endpoint(folder), methods=["GET"], name="page", include_in_schema=False)


def _endpoint(folder: Path) -> Callable[[Request], Awaitable[Response]]:
    files = {
        path.relative_to(folder).as_posix(): path
        for path in (folder.rglob("*") if folder.is_dir() else ())
        if path.is_file() and not path.is_symlink()
    }

    async def page(request: Request) -> Response:
        path: str = request.path_params["path"]
        if path == "api" or path.startswith("api/"):
            return JSONResponse(_NOT_FOUND, status_code=404)
        if path in files and path != "index.html":
            # Vite puts a hash of the content into the names below assets/: such a file never changes.
            lasting = path.startswith("assets/")
            headers = {"cache-control": "public, max-age=31536000, immutable" if lasting else "no-cache"}
            return FileResponse(files[path], headers=headers, media_type=_media_type(path))
        if "." in path.rsplit("/", 1)[-1] and path != "index.html":
            return JSONResponse(_NOT_FOUND, status_code=404)
        if "index.html" not in files:
            return Response(_NO_PAGES, media_type="text/html; charset=utf-8")
        return FileResponse(files["index.html"], headers={"cache-control": "no-cache"}, media_type="text/html")

    return page


def _media_type(path: str) -> str:
    suffix = "." + path.rsplit(".", 1)[-1].lower()
    return _TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
