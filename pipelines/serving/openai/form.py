"""The body of a form with files (multipart/form-data, RFC 7578), read strictly: what is not exactly one is refused.

The body is in memory already, within the limit that holds for bodies. The parts' bytes are taken as they are; the
standard library reads their few lines of headers.
"""

from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import HeaderParser
from email.policy import HTTP

from ddpm_core.errors import ParamsError

_MOST_PARTS = 64
_MOST_HEADER_BYTES = 2048
_LONGEST_BOUNDARY = 70  # RFC 2046, 5.1.1
_PARSER = HeaderParser(policy=HTTP.clone(raise_on_defect=True))


class MalformedForm(ParamsError):
    """The body is not the form that its header announces."""


@dataclass(frozen=True)
class Part:
    """One field. `filename` is None where it is a text and not a file."""

    name: str
    filename: str | None
    content: bytes

    @property
    def text(self) -> str:
        return _decoded(self.content)


def read_form(content_type: str, body: bytes) -> list[Part]:
    """The parts in their order; MalformedForm where the body is not a form."""
    delimiter = b"--" + _boundary(content_type)
    # the first delimiter begins the body, each other one a line; after the last comes `--` and at most a line end
    first, *parts = (b"\r\n" + body).split(b"\r\n" + delimiter)
    if first or not parts or parts[-1] not in (b"--", b"--\r\n"):
        raise MalformedForm("the form must begin with its boundary and end with it; it may have been cut off")
    if len(parts) - 1 > _MOST_PARTS:
        raise MalformedForm(f"the form must have at most {_MOST_PARTS} parts")
    return [_part(part) for part in parts[:-1]]


def _boundary(content_type: str) -> bytes:
    if len(content_type) > _MOST_HEADER_BYTES:
        raise MalformedForm("must be multipart/form-data, with a boundary")
    found = _headers(f"Content-Type: {content_type}\r\n\r\n")["content-type"]
    boundary = found.params.get("boundary", "")
    if found.content_type != "multipart/form-data":
        raise MalformedForm("must be multipart/form-data")
    if not (boundary.isascii() and boundary.isprintable() and 1 <= len(boundary) <= _LONGEST_BOUNDARY):
        raise MalformedForm(f"the boundary must be 1 to {_LONGEST_BOUNDARY} printable ASCII characters")
    return bytes(boundary, "ascii")


def _part(part: bytes) -> Part:
    head, blank, content = part.partition(b"\r\n\r\n")
    if not head.startswith(b"\r\n") or not blank or len(head) > _MOST_HEADER_BYTES:
        raise MalformedForm("each part must begin with its headers, an empty line behind them")
    headers = _headers(_decoded(head[2:]) + "\r\n\r\n")
    disposition = headers["content-disposition"]
    name = None if disposition is None else disposition.params.get("name")
    if disposition is None or disposition.content_disposition != "form-data" or not name:
        raise MalformedForm('each part must have the header Content-Disposition: form-data; name="..."')
    if str(headers.get("content-transfer-encoding", "binary")).lower() not in ("binary", "8bit", "7bit"):
        raise MalformedForm("a part must be sent as it is, without Content-Transfer-Encoding")
    return Part(name, disposition.params.get("filename"), content)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedForm("the headers and texts of a form must be UTF-8") from error


def _headers(text: str) -> EmailMessage:
    try:
        found = _PARSER.parsestr(text)
        if any(len(found.get_all(key, [])) > 1 for key in found) or found.get_payload():
            raise MalformedForm("a header of the form must stand once, on one line")
        for value in found.values():  # reading a header finds its defects
            if value.defects:
                raise MalformedForm("a header of the form cannot be read")
        return found
    except MalformedForm:
        raise
    except Exception as error:  # whatever the parser stumbles over, the form is malformed
        raise MalformedForm("a header of the form cannot be read") from error
