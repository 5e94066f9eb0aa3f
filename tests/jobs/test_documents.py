"""What comes in as a document: taken by what it is, whatever it is called."""

import time
import zlib

import pytest

from jobs import documents
from jobs.documents import Unusable, Upload, read_documents

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 32
ZIP = b"PK\x03\x04" + b"\x00" * 32


def pdf(text):
    """A PDF of one page that says `text`, or that has no text layer where it is ""."""
    drawing = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode() if text else b""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"xref\n0 6\n0000000000 65535 f \n"
    table += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(body)
    return body + table + end


def pdf_bomb(pages):
    """A few kilobytes whose pages share one long drawing, which draws a form that draws others."""
    draws = b"/F2 Do " * 50

    def stream(drawing, entries=b""):
        packed = zlib.compress(drawing)
        head = b"<< /Length %d /Filter /FlateDecode %s >>" % (len(packed), entries)
        return head + b"\nstream\n" + packed + b"\nendstream"

    kids = b" ".join(b"%d 0 R" % (7 + page) for page in range(pages))
    font = b"/Font << /F1 6 0 R >>"
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << %s %s >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, pages),
        stream(draws),
        stream(draws.replace(b"F2", b"F3"), form % (font, b"/XObject << /F3 5 0 R >>")),
        stream(b"BT /F1 9 Tf " + b"(aaaaaaaa) Tj " * 300 + b"ET", form % (font, b"")),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        *[
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 3 0 R "
            b"/Resources << %s /XObject << /F2 4 0 R >> >> >>" % font
        ]
        * pages,
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    table += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = (len(objects) + 1, len(body))
    return body + table + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % size


def _one(name, content):
    [document] = read_documents([Upload(name, content)])
    return document


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.txt", "text/plain"),
        ("a", "text/plain"),
        ("a.md", "text/markdown"),
        ("a.MARKDOWN", "text/markdown"),
        ("a.csv", "text/csv"),
        ("a.html", "text/html"),
        ("a.json", "application/json"),
        ("a.exe", "text/plain"),
    ],
)
def test_text_is_text_whatever_it_is_called(name, content_type):
    document = _one(name, "Straße\n".encode())
    assert (document.content_type, document.text) == (content_type, "Straße\n")


@pytest.mark.parametrize(
    "content",
    [
        "Straße".encode(),
        "Straße".encode("utf-8-sig"),
        "Straße".encode("utf-16"),
        b"\xfe\xff" + "Straße".encode("utf-16-be"),
        "Straße".encode("cp1252"),
    ],
    ids=["utf-8", "utf-8 with a mark", "utf-16", "utf-16 big-endian", "cp1252"],
)
def test_text_is_read_in_the_encodings_of_office_life(content):
    assert _one("a.txt", content).text == "Straße"


@pytest.mark.parametrize("text", ["BMI by age", "MZ is a prefix", "CWS and FWS", "ID3 explained"])
def test_text_that_begins_like_a_binary_format_is_still_text(text):
    assert _one("a.txt", text.encode()).text == text


@pytest.mark.parametrize(
    "content",
    [
        ZIP,
        b"text with a \x00 in it",
        b"\xff\xfe\x00",
        bytes(range(1, 256)),
        b"MZ\x90\x00\x03\x00\x00\x00" + b"\xff" * 64,
        b"BM\x9a\xff\xfe\x80" + b"\x81" * 64,
        b"{\\rtf1 Hello.}",
    ],
    ids=["zip", "NUL", "half a character", "every byte", "exe", "bmp without NUL", "rtf"],
)
def test_what_is_neither_text_nor_pdf_is_refused(content):
    with pytest.raises(Unusable) as refused:
        _one("a.txt", content)
    assert str(refused.value).startswith("a.txt is ")
    assert str(refused.value).endswith("is neither text, a PDF nor a picture.")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 32, "image/jpeg"),
        (b"RIFF\x24\0\0\0WEBPVP8 " + b"\0" * 32, "image/webp"),
        (b"GIF89a" + b"\0" * 32, "image/gif"),
    ],
)
def test_a_picture_is_taken_as_what_it_is_and_has_no_text(content, kind):
    document = _one("a.txt", content)
    assert (document.content_type, document.text) == (kind, "")


def test_a_pdf_is_read_whatever_it_is_called():
    document = _one("a.txt", pdf("High water at noon."))
    assert document.content_type == "application/pdf"
    assert document.text.strip() == "High water at noon."


def test_a_pdf_without_text_is_taken_and_has_none():
    assert _one("scan.pdf", pdf("")).text == ""


def test_a_pdf_that_cannot_be_read_is_taken_and_has_no_text(caplog):
    assert _one("broken.pdf", b"%PDF-1.4\nnothing that makes sense").text == ""


@pytest.mark.parametrize("pages", [1, 40])
def test_a_pdf_that_unfolds_without_end_holds_nothing_up(pages, monkeypatch):
    monkeypatch.setattr(documents, "PDF_SECONDS", 0.3)
    begun = time.monotonic()
    bombs = [Upload(f"{number}.pdf", pdf_bomb(pages)) for number in range(3)]
    assert [document.text for document in read_documents(bombs)] == [""] * 3
    assert time.monotonic() - begun < 5


def test_a_pdf_with_more_text_than_a_text_may_have_has_none(settings):
    content = pdf("aaaaaaaa" * 60)
    assert _one("long.pdf", content).text
    settings.MAX_DOCUMENT_BYTES = len(content)
    assert _one("long.pdf", content).text
    settings.MAX_DOCUMENT_BYTES = 400
    assert documents._pdf_text("long.pdf", content, time.monotonic() + 60) == ""


def test_the_text_is_storable_and_the_content_is_verbatim():
    content = "a\x00b".encode("utf-16")
    document = _one("a.txt", content)
    assert document.text == "a\ufffdb"
    assert document.content == content


def test_an_empty_file_is_refused():
    with pytest.raises(Unusable, match=r"^empty.txt is empty\.$"):
        _one("empty.txt", b"")


def test_a_file_has_a_largest_size(settings):
    settings.MAX_DOCUMENT_BYTES = 1024 * 1024
    _one("a.txt", b"x" * 1024 * 1024)
    with pytest.raises(Unusable, match=r"a.txt is 1.1 MB; a file can be 1.0 MB at most."):
        _one("a.txt", b"x" * (1024 * 1024 + 60_000))


def test_all_files_together_have_a_largest_size(settings):
    settings.MAX_DOCUMENTS_BYTES = 1024 * 1024
    half = b"x" * (512 * 1024)
    read_documents([Upload("a.txt", half), Upload("b.txt", half)])
    with pytest.raises(Unusable, match=r"The files are 1.5 MB together; at most 1.0 MB"):
        read_documents([Upload(name, half) for name in ("a.txt", "b.txt", "c.txt")])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("report.txt", "report.txt"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\Users\\me\\report.txt", "report.txt"),
        ("a\x00b.txt", "a\ufffdb.txt"),
        ("a\r\nSet-Cookie: x.txt", "aSet-Cookie: x.txt"),
        ("invoice\u202efdp.txt", "invoicefdp.txt"),
        ("  a.txt  ", "a.txt"),
        ("", "document"),
        ("/", "document"),
        (".", "document"),
        ("..", "document"),
        ("a/..", "document"),
        ("...", "document"),
        ("\u200b", "document"),
        (".env", ".env"),
        ("a\ud800.txt", "a\ufffd.txt"),
        ("報告.txt", "報告.txt"),
    ],
)
def test_only_the_bare_name_is_kept(given, kept):
    assert _one(given, b"x").name == kept


def test_a_long_name_is_cut_and_keeps_its_suffix():
    name = _one("x" * 400 + ".txt", b"x").name
    assert len(name) <= 250
    assert name.endswith("x.txt")
    assert len(_one("x." + "y" * 400, b"x").name) <= 250


def test_names_that_are_alike_are_told_apart():
    given = ["a.txt", "A.txt", "dir/a.txt", "a (2).txt", "a.md"]
    documents = read_documents([Upload(name, b"x") for name in given])
    names = [document.name for document in documents]
    assert names == ["a.txt", "A (2).txt", "a (3).txt", "a (2) (2).txt", "a.md"]
