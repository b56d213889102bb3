"""A form with files is read to the byte; a body that is not exactly one is refused."""

import random

import pytest

from pipelines.serving.openai.form import MalformedForm, Part, read_form

TYPE = "multipart/form-data; boundary=abc"


def part(headers: bytes, content: bytes) -> bytes:
    return b"--abc\r\n" + headers + b"\r\n\r\n" + content + b"\r\n"


def named(name: str, content: bytes) -> bytes:
    return part(b'Content-Disposition: form-data; name="%b"' % name.encode(), content)


def test_texts_and_files_come_out_as_they_were() -> None:
    content = b"\x89PNG\r\n\x1a\n\r\r\n--ab\x00\r\n--\r\n"
    file = 'Content-Disposition: form-data; name="image"; filename="a \\"é\\".png"\r\nContent-Type: image/png'
    body = named("prompt", "3,ü".encode()) + part(file.encode(), content) + b"--abc--\r\n"
    assert read_form(TYPE, body) == [Part("prompt", None, "3,ü".encode()), Part("image", 'a "é".png', content)]
    assert read_form(TYPE, body)[0].text == "3,ü"


@pytest.mark.parametrize("body", [b"--abc--", b"--abc--\r\n"])
def test_a_form_may_be_empty(body: bytes) -> None:
    assert read_form(TYPE, body) == []


def test_a_boundary_may_be_quoted() -> None:
    body = b"--a b?c\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--a b?c--"
    assert read_form('multipart/form-data; boundary="a b?c"', body) == [Part("x", None, b"1")]


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=abc",
        "multipart/form-data; boundary=" + "a" * 71,
        'multipart/form-data; boundary="a\tb"',
        "multipart/form-data; boundary=é",
        "multipart/form-data; boundary=abc; boundary=abd",
        "multipart/form-data; boundary=abc" + " " * 3000,
    ],
)
def test_a_boundary_that_cannot_be_is_refused(content_type: str) -> None:
    with pytest.raises(MalformedForm):
        read_form(content_type, named("prompt", b"3") + b"--abc--\r\n")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"--abc",
        b"--abc\r\n",
        b"--abcd--\r\n",
        b"preamble\r\n--abc--\r\n",
        b"--abc--\r\nepilogue",
        b"--abc--\r\n\r\n",
        named("a", b"1"),
        named("a", b"1") + b"--abc-",
        b"--abc--\r\n" + named("a", b"1") + b"--abc--\r\n",
        named("a", b"1").replace(b"\r\n", b"\n") + b"--abc--\n",
        b"--abc \r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--abc--",
        b"--abc\r\n\r\n1\r\n--abc--\r\n",
        b"--abc\r\nContent-Disposition: form-data; name=a\r\n--abc--\r\n",
        part(b"Content-Type: text/plain", b"1") + b"--abc--\r\n",
        part(b"Content-Disposition: form-data", b"1") + b"--abc--\r\n",
        part(b'Content-Disposition: form-data; name=""', b"1") + b"--abc--\r\n",
        part(b'Content-Disposition: attachment; name="a"', b"1") + b"--abc--\r\n",
        part(b'Content-Disposition: form-data; name="a"; name="b"', b"1") + b"--abc--\r\n",
        part(b'Content-Disposition: form-data; name="a', b"1") + b"--abc--\r\n",
        part(b'Content-Disposition: form-data; name="a\x00"', b"1") + b"--abc--\r\n",
        part(b'Content-Disposition: form-data; name="\xff"', b"1") + b"--abc--\r\n",
        part(b'Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"', b"1")
        + b"--abc--\r\n",
        part(b'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', b"MQ==")
        + b"--abc--\r\n",
        part(b'Content-Disposition: form-data; name="a"\r\nno header', b"1") + b"--abc--\r\n",
        part(b'Content-Disposition: form-data; name="a"; filename="%b"' % (b"f" * 3000), b"1") + b"--abc--\r\n",
        named("a", b"1") * 65 + b"--abc--\r\n",
    ],
)
def test_a_malformed_body_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedForm):
        read_form(TYPE, body)


def test_a_text_must_be_utf_8() -> None:
    (found,) = read_form(TYPE, named("prompt", b"\xff") + b"--abc--\r\n")
    with pytest.raises(MalformedForm):
        _ = found.text


def test_every_cut_of_a_form_is_refused_and_no_changed_byte_breaks_the_reader() -> None:
    body = named("prompt", b"3") + named("n", b"2") + b"--abc--"
    for end in range(len(body)):
        with pytest.raises(MalformedForm):
            read_form(TYPE, body[:end])
    draw = random.Random(0)
    for _ in range(300):
        changed = bytearray(body)
        for _ in range(draw.randint(1, 4)):
            changed[draw.randrange(len(body))] = draw.randrange(256)
        try:
            assert all(found.name for found in read_form(TYPE, bytes(changed)))
        except MalformedForm:
            continue
