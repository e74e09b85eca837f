"""Kinds of malformed requests: HTTP itself, headers, paths and parameters."""

from dataclasses import replace
from typing import Any
from urllib.parse import quote

from loadtest.bad_requests import Bad, Maker, Request, basic, kind, text


def _raw(maker: Maker, head: str, body: bytes = b"", **more: Any) -> Bad:
    """A request with a head of its own, on a connection that is not used again."""
    key = basic(maker.keys.good)["Authorization"]
    return Bad("", f"{head}\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode("latin-1") + body, keeps_alive=False, **more)


def _body(maker: Maker) -> bytes:
    return text(maker.message())


@kind("http: a length that is too small")
def _(maker: Maker) -> Bad:
    body = _body(maker)  # the server answers to what is left over, though the first half has become a request
    return _raw(maker, f"POST /v1/track HTTP/1.1\r\nContent-Length: {len(body) // 2}", body, counts_as=1)


@kind("http: hung up before the end of the body")
def _(maker: Maker) -> Bad:
    return _raw(maker, f"POST /v1/track HTTP/1.1\r\nContent-Length: {len(body := _body(maker)) + 50}", body, hangs_up=True)


@kind("http: hung up in the middle of the head")
def _(maker: Maker) -> Bad:
    return Bad("", b"POST /v1/track HTTP/1.1\r\nHost: x\r\nConte", hangs_up=True, keeps_alive=False)


@kind("http: a length that is no number")
def _(maker: Maker) -> Bad:
    return _raw(
        maker, f"POST /v1/track HTTP/1.1\r\nContent-Length: {maker.rng.choice(['abc', '-1', '1e3', '0x10'])}", _body(maker)
    )


@kind("http: a length beyond everything")
def _(maker: Maker) -> Bad:
    return _raw(maker, f"POST /v1/track HTTP/1.1\r\nContent-Length: {10**30}", counts_as=0)


@kind("http: a length that is larger than allowed")
def _(maker: Maker) -> Bad:
    return _raw(maker, "POST /v1/track HTTP/1.1\r\nContent-Length: 99999999")


@kind("http: two lengths")
def _(maker: Maker) -> Bad:
    return _raw(maker, f"POST /v1/track HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: {len(body := _body(maker))}", body)


@kind("http: a length and chunks")
def _(maker: Maker) -> Bad:
    return _raw(maker, "POST /v1/track HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n")


@kind("http: chunks whose size is no number")
def _(maker: Maker) -> Bad:
    return _raw(maker, "POST /v1/track HTTP/1.1\r\nTransfer-Encoding: chunked", b"zz\r\nhello\r\n0\r\n\r\n")


@kind("http: chunks that stop")
def _(maker: Maker) -> Bad:
    return _raw(maker, "POST /v1/track HTTP/1.1\r\nTransfer-Encoding: chunked", b"5\r\nhel", hangs_up=True)


@kind("http: chunks with half a message")
def _(maker: Maker) -> Bad:
    half = _body(maker)[:30]
    return _raw(maker, "POST /v1/track HTTP/1.1\r\nTransfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(half), half))


@kind("http: chunks without end", heavy=True)
def _(maker: Maker) -> Bad:
    chunks = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    return _raw(maker, "POST /v1/track HTTP/1.1\r\nTransfer-Encoding: chunked", chunks * 80 + b"0\r\n\r\n")


@kind("http: no HTTP at all")
def _(maker: Maker) -> Bad:
    return Bad("", maker.rng.choice([b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"\0\0\0\0\r\n\r\n"]), keeps_alive=False)


@kind("http: a method nobody knows")
def _(maker: Maker) -> Bad:
    method = maker.rng.choice(["BREW", "post", "G\x07T", ""])
    return _raw(maker, f"{method} /v1/track HTTP/1.1", counts_as=0)


@kind("http: a version nobody knows")
def _(maker: Maker) -> Bad:
    return _raw(maker, f"POST /v1/track HTTP/{maker.rng.choice(['9.9', '', 'x'])}\r\nContent-Length: 0", counts_as=0)


@kind("http: version 1.0")
def _(maker: Maker) -> Bad:
    return _raw(maker, f"POST /v1/track HTTP/1.0\r\nContent-Length: {len(body := _body(maker)[:-1])}", body)


@kind("http: a path of 60,000 characters")
def _(maker: Maker) -> Bad:
    return _raw(maker, f"POST /v1/{'x' * 60_000} HTTP/1.1\r\nContent-Length: 0", counts_as=0)


@kind("http: paths that do not exist")
def _(maker: Maker) -> Bad:
    path = maker.rng.choice(
        ["/v1/trac", "/v2/track", "/v1/batch/x", "//v1//track", "/v1/%74rack%00", "/v1/%zz", "/..%2f..", "/%ff%fe"]
    )
    return replace(maker.send(Request(path, _body(maker))), counts_as=0, keeps_alive=False)


@kind("http: no path")
def _(maker: Maker) -> Bad:
    return _raw(maker, "POST  HTTP/1.1\r\nContent-Length: 0", counts_as=0)


@kind("http: bad percent-encoding in a parameter")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/track?key=%zz%&a=%ff&=&&b", _body(maker)[:-1]))


@kind("http: a header of 20,000 characters")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/track", _body(maker)[:-1], {"X-Long": "x" * 20_000}), keeps_alive=False)


@kind("http: 200 headers")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/track", _body(maker)[:-1], {f"X-{n}": "1" for n in range(200)}), keeps_alive=False)


@kind("http: a header that is no header")
def _(maker: Maker) -> Bad:
    return _raw(maker, "POST /v1/track HTTP/1.1\r\nthis is no header\r\nContent-Length: 0", counts_as=0)


@kind("http: headers that are not ASCII")
def _(maker: Maker) -> Bad:
    headers = {"Content-Type": "\u00e4\u00f6", "User-Agent": "\u00ff\u00fe", "Content-Encoding": "\u00fc"}
    return maker.send(Request("/v1/track", _body(maker), headers), keeps_alive=False)


@kind("http: authorization that is none")
def _(maker: Maker) -> Bad:
    given = maker.rng.choice(
        ["Basic", "Basic ***", "Basic /////w==", "Bearer", "Bearer  ", "Digest x", ":", "\u00ff", "basic OjoO"]
    )
    return maker.send(Request("/v1/track", _body(maker), {"Authorization": given}))


@kind("http: a token in place of a write key")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/track", _body(maker), {"Authorization": "Bearer tk_nobodys"}))


@kind("http: expects to be asked to go on")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/track", _body(maker)[:-1], {"Expect": "100-continue"}), keeps_alive=False)


@kind("http: a preflight from elsewhere")
def _(maker: Maker) -> Bad:
    headers = {"Origin": "null\x7f", "Access-Control-Request-Method": "BREW", "Access-Control-Request-Headers": "x" * 3000}
    return maker.send(Request("/v1/track", b"", headers, "OPTIONS"), counts_as=0, keeps_alive=False)


@kind("http: an origin from elsewhere")
def _(maker: Maker) -> Bad:
    return maker.send(
        Request("/v1/track", _body(maker)[:-1], {"Origin": maker.rng.choice(["null", "http://[", "\u00e9", "x" * 900])})
    )


@kind("http: a content type that is none")
def _(maker: Maker) -> Bad:
    given = maker.rng.choice(["", ";", "text/plain; charset=utf-99", "multipart/form-data", "application/x-www-form-urlencoded"])
    return maker.send(Request("/v1/track", _body(maker)[:-1], {"Content-Type": given}))


@kind("the API: identifiers of people that are none")
def _(maker: Maker) -> Bad:
    given = maker.rng.choice(["%00", ":", "x", "a:" + "b" * 3000, "%ff%fe", "P99999999999999999999", "user_id:%ed%a0%80"])
    return maker.send(Request(f"/v1/profiles?id={given}", method="GET"), counts_as=0)


@kind("the API: a write key where a token is wanted")
def _(maker: Maker) -> Bad:
    path = maker.rng.choice(["/v1/operations/ledger", "/metrics", "/v1/tags", "/v1/rules", f"/v1/profiles/{quote(maker.id())}"])
    return maker.send(Request(path, method="GET"), counts_as=0)


@kind("the API: a body where none is wanted")
def _(maker: Maker) -> Bad:
    return maker.send(Request("/v1/analytics/funnel", maker.rng.randbytes(50)), counts_as=0)
