"""The page at `/`: files of this folder, with no build step, no CDN and nothing inline, so that a strict CSP holds."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import APIRouter, Request, Response

from ddpm_core.files import sha256_bytes

FOLDER = Path(__file__).parent
MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Nothing from elsewhere, nothing inline; a browser asks each time whether a file is still the same."""


def page_router() -> APIRouter:
    """`/` and `/page/NAME`, which are not part of the API that /openapi.json describes."""
    files = {file.name: file for file in sorted(FOLDER.iterdir()) if file.suffix in MEDIA}
    routes = APIRouter(include_in_schema=False)
    routes.add_api_route("/", _answer(files["index.html"]), methods=["GET", "HEAD"], name="page")
    for name, file in files.items():
        routes.add_api_route(f"/page/{name}", _answer(file), methods=["GET", "HEAD"], name=f"page {name}")
    return routes


def _answer(file: Path) -> Callable[[Request], Awaitable[Response]]:
    content = file.read_bytes()
    headers = {**HEADERS, "ETag": f'"{sha256_bytes(content)[:32]}"'}

    async def answer(http: Request) -> Response:
        if http.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=MEDIA[file.suffix])

    return answer
