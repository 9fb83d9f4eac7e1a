"""Where a URL may lead, and fetching from a server on this machine: redirects, limits, rebinding."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from serve_apps.args import IngestArgs
from serve_apps.errors import AddressRefused, DocumentTooLarge, DocumentUnreadable
from serve_apps.ingestion.web import WebFetcher, name_of
from serve_apps.ingestion.web_addresses import AddressRules, Destination
from tests.web_site import Site, loopback

PUBLIC = "93.184.216.34"

REFUSED = [
    "http://127.0.0.1/",
    "http://127.8.9.10/",
    "http://localhost/",
    "http://0.0.0.0/",
    "http://0/",
    "http://10.0.0.1/",
    "http://172.16.5.4/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.100.100.200/latest/meta-data/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[fc00::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1./",
    "http://①②⑦.⓪.⓪.①/",
    "http://site.example:8265/",
    "https://site.example:22/",
    "http://user:password@site.example/",
    "http://user@site.example/",
    "ftp://site.example/",
    "file:///etc/passwd",
    "gopher://site.example/",
    "//site.example/",
    "site.example",
    "http:///nothing",
    "http://site.example\\@127.0.0.1/",
    "http://site .example/",
    "http://site.example/" + "a" * 2000,
    "http://[::1",
    "http://%31%32%37.0.0.1/",
    "",
]


async def public(host: str, _port: int) -> list[str]:
    return ["127.0.0.1"] if host.startswith("localhost") else [PUBLIC]


@pytest.mark.parametrize("url", REFUSED)
async def test_refused(url: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        await AddressRules(resolver=public).admit(url)
    assert refused.value.message


@pytest.mark.parametrize(
    "url",
    [
        "http://site.example/",
        "https://site.example:443/a?b=c",
        "http://93.184.216.34/",
        "http://[2606:2800:220:1::1]/",
        "https://bücher.example/",
        "  https://site.example/x  ",
    ],
)
async def test_admitted(url: str) -> None:
    assert (await AddressRules(resolver=public).admit(url)).addresses


@pytest.mark.parametrize("url", ["http://192.168.1.1/", "http://10.1.2.3:8080/", "http://127.0.0.1:3000/"])
async def test_private_addresses_can_be_allowed(url: str) -> None:
    assert await AddressRules(private_addresses=True).admit(url)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "100.100.100.200", "[fd00:ec2::254]", "[fe80::1]", "0.0.0.0", "224.0.0.1"]
)
async def test_but_never_metadata_link_local_and_the_like(address: str) -> None:
    with pytest.raises(AddressRefused):
        await AddressRules(private_addresses=True).admit(f"http://{address}/")


@pytest.mark.parametrize("second", ["10.0.0.1", "::1", "fe80::1%eth0", "nonsense"])
async def test_a_name_with_one_private_address_is_refused(second: str) -> None:
    async def mixed(_host: str, _port: int) -> list[str]:
        return [PUBLIC, second]

    with pytest.raises(AddressRefused, match="public internet"):
        await AddressRules(resolver=mixed).admit("http://site.example/")


async def test_names_that_lead_nowhere_are_said() -> None:
    async def unknown(_host: str, _port: int) -> list[str]:
        raise OSError("Name or service not known")

    async def empty(_host: str, _port: int) -> list[str]:
        return []

    for resolver in (unknown, empty):
        with pytest.raises(AddressRefused, match=r"site\.example"):
            await AddressRules(resolver=resolver).admit("http://site.example/")


# ---- fetching ----------------------------------------------------------------------------------


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    made.stuck.set()
    server.close()


class HereOnly(AddressRules):
    """Takes `site.example` for the server of the test, which is a private address; all else as it is."""

    def __init__(self, site: Site) -> None:
        super().__init__(resolver=loopback)
        self._site = site
        self._local = AddressRules(private_addresses=True, resolver=loopback)

    async def admit(self, url: str) -> Destination:
        here = url.startswith(f"http://site.example:{self._site.port}/")
        return await self._local.admit(url) if here else await super().admit(url)


async def fetched(site: Site, path: str, folder: Path, **args: object) -> tuple[str, bytes]:
    fetcher = WebFetcher(IngestArgs(**args), HereOnly(site))  # type: ignore[arg-type]
    into = folder / "file"
    found = await fetcher.fetch(f"http://site.example:{site.port}{path}", into, lambda _: None)
    assert found.n_bytes == into.stat().st_size
    return found.name, into.read_bytes()


async def test_a_page_is_fetched_by_its_name_from_the_address_that_was_judged(
    site: Site, tmp_path: Path
) -> None:
    site.says("/wiki/Fox", b"<h1>Foxes</h1>", "content-type: text/html; charset=utf-8")
    name, data = await fetched(site, "/wiki/Fox", tmp_path)
    assert (name, data) == ("site.example/wiki/Fox.html", b"<h1>Foxes</h1>")
    assert f"host: site.example:{site.port}" in site.asked[0].lower()
    assert "cookie" not in site.asked[0].lower()


async def test_a_redirect_is_followed(site: Site, tmp_path: Path) -> None:
    site.redirects("/a", "/b")
    site.redirects("/b", f"http://site.example:{site.port}/c")
    site.says("/c", b"text", "content-type: text/plain")
    assert await fetched(site, "/a", tmp_path) == ("site.example/a", b"text")


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1:{port}/secret",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:7f00:1]/",
        "http://site.example/",
        "http://2130706433/",
        "file:///etc/passwd",
        "//10.0.0.1/",
    ],
)
async def test_a_redirect_into_the_private_network_is_refused(site: Site, tmp_path: Path, to: str) -> None:
    site.redirects("/a", "/b")
    site.redirects("/b", to.format(port=site.port))
    site.says("/secret", b"secret")
    with pytest.raises(AddressRefused):
        await fetched(site, "/a", tmp_path)
    assert len(site.asked) == 2


async def test_redirects_have_an_end(site: Site, tmp_path: Path) -> None:
    site.redirects("/a", "/a")
    with pytest.raises(AddressRefused, match="more than 5"):
        await fetched(site, "/a", tmp_path)
    assert len(site.asked) == 6


async def test_the_name_is_resolved_once_so_rebinding_changes_nothing(site: Site, tmp_path: Path) -> None:
    """The second answer of the name server would lead to a metadata service; nobody asks for it."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])

    async def rebinding(_host: str, _port: int) -> list[str]:
        return next(answers)

    site.says("/", b"public", "content-type: text/plain")
    rules = AddressRules(private_addresses=True, resolver=rebinding)
    fetcher, into = WebFetcher(IngestArgs(), rules), tmp_path / "file"
    url = f"http://site.example:{site.port}/"
    await fetcher.fetch(url, into, lambda _: None)
    assert into.read_bytes() == b"public"
    with pytest.raises(AddressRefused):
        await fetcher.fetch(url, into, lambda _: None)


async def test_the_next_address_is_tried_when_one_does_not_answer(site: Site, tmp_path: Path) -> None:
    async def two(_host: str, _port: int) -> list[str]:
        return ["127.77.77.77", "127.0.0.1"]

    site.says("/", b"here", "content-type: text/plain")
    rules = AddressRules(private_addresses=True, resolver=two)
    into = tmp_path / "file"
    await WebFetcher(IngestArgs(), rules).fetch(f"http://site.example:{site.port}/", into, lambda _: None)
    assert into.read_bytes() == b"here"


def certified(folder: Path, name: str) -> tuple[Path, Path]:
    """A key and a certificate of its own for `name`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    key_file, certificate_file = folder / "key.pem", folder / "certificate.pem"
    formats = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_file.write_bytes(key.private_bytes(*formats))
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return key_file, certificate_file


@pytest.mark.parametrize(("name", "admitted"), [("site.example", True), ("other.example", False)])
async def test_tls_is_checked_against_the_name_though_the_address_is_connected_to(
    tmp_path: Path, name: str, *, admitted: bool
) -> None:
    key_file, certificate_file = certified(tmp_path, name)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate_file, key_file)
    site, into = Site(), tmp_path / "file"
    site.says("/", b"over TLS", "content-type: text/plain")
    server = await asyncio.start_server(site.answer, "127.0.0.1", 0, ssl=serving)
    url = f"https://site.example:{server.sockets[0].getsockname()[1]}/"
    rules = AddressRules(private_addresses=True, resolver=loopback)
    trusting = ssl.create_default_context(cafile=str(certificate_file))
    async with server:
        for tls, may in ((trusting, admitted), (None, False)):
            fetcher = WebFetcher(IngestArgs(), rules, tls)
            if may:
                assert (await fetcher.fetch(url, into, lambda _: None)).n_bytes == 8
            else:
                with pytest.raises(AddressRefused):
                    await fetcher.fetch(url, into, lambda _: None)


# ---- limits ------------------------------------------------------------------------------------


async def test_too_many_bytes_are_refused_as_announced_and_as_they_come(site: Site, tmp_path: Path) -> None:
    site.says("/announced", b"x", "content-type: text/plain")
    site.answers["/announced"] = b"HTTP/1.1 200 OK\r\ncontent-length: 2000000000\r\n\r\nx"
    site.answers["/endless"] = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (2**20 + 1)
    for path in ("/announced", "/endless"):
        with pytest.raises(DocumentTooLarge):
            await fetched(site, path, tmp_path, max_file_mb=1)


async def test_packed_bytes_are_unpacked_within_the_limit(site: Site, tmp_path: Path) -> None:
    for path, body, encoding in (
        ("/gzip", gzip.compress(b"fox" * 1000), "gzip"),
        ("/deflate", zlib.compress(b"fox" * 1000), "deflate"),
    ):
        site.says(path, body, f"content-encoding: {encoding}", "content-type: text/plain")
        assert (await fetched(site, path, tmp_path))[1] == b"fox" * 1000


async def test_a_bomb_is_stopped_while_it_unpacks(site: Site, tmp_path: Path) -> None:
    site.says("/bomb", gzip.compress(b"\0" * 50 * 2**20), "content-encoding: gzip")
    with pytest.raises(DocumentTooLarge):
        await fetched(site, "/bomb", tmp_path, max_file_mb=1)
    assert (tmp_path / "file").stat().st_size <= 2**20


@pytest.mark.parametrize(("encoding", "body"), [("br", b"x"), ("gzip", b"not packed at all")])
async def test_packing_that_cannot_be_undone_is_said(
    site: Site, tmp_path: Path, encoding: str, body: bytes
) -> None:
    site.says("/odd", body, f"content-encoding: {encoding}")
    with pytest.raises(DocumentUnreadable):
        await fetched(site, "/odd", tmp_path)


async def test_a_site_that_does_not_end_is_left(site: Site, tmp_path: Path) -> None:
    site.answers["/stuck"] = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx"
    with pytest.raises(DocumentTooLarge, match="longer than"):
        await fetched(site, "/stuck", tmp_path, fetch_timeout_s=0.2)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nlocation: http://[\r\ncontent-length: 0\r\n\r\n",
        b"not HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        b"",
    ],
)
async def test_answers_that_are_no_file_are_said(site: Site, tmp_path: Path, answer: bytes) -> None:
    site.answers["/odd"] = answer
    with pytest.raises(AddressRefused):
        await fetched(site, "/odd", tmp_path)


async def test_nobody_there(tmp_path: Path) -> None:
    rules = AddressRules(private_addresses=True)
    with pytest.raises(AddressRefused, match="does not answer"):
        await WebFetcher(IngestArgs(), rules).fetch("http://127.0.0.1:1/", tmp_path / "file", lambda _: None)


@pytest.mark.parametrize(
    ("url", "media_type", "name"),
    [
        ("https://site.example/", "text/html", "site.example.html"),
        ("https://site.example/a/paper.pdf", "application/pdf", "site.example/a/paper.pdf"),
        ("https://site.example/get?id=3", "application/pdf", "site.example/get?id=3.pdf"),
        ("https://site.example/a.py", "text/plain", "site.example/a.py"),
        ("https://site.example/a.htm", "text/html", "site.example/a.htm"),
        ("https://site.example/d%C3%A9j%C3%A0", "text/html", "site.example/déjà.html"),
        ("https://site.example/x.bin", "application/octet-stream", "site.example/x.bin"),
    ],
)
def test_names(url: str, media_type: str, name: str) -> None:
    assert name_of(url, media_type) == name
