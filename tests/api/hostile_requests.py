"""What nobody should send, as bytes on a connection, and what is answered: the corpus of `test_hostile_requests.py`.

Behind each case that is complete comes one more request, LAST: its 200 shows that nothing of the case was taken for
another request, or the other way round. No answer at all is an empty tuple: the connection is cut.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

LAST = b"GET /ops/liveness HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

GOOD_BODY = (
    b'{"amount_minor":1000,"currency":"INR","payment_method":"UPI","merchant_id":"m_001","customer_id":"c",'
    b'"instrument":{"type":"UPI","vpa":"test@okhdfcbank"}}'
)
JSON = b"Content-Type: application/json\r\nIdempotency-Key: abc\r\n"


class Case(NamedTuple):
    name: str
    sent: bytes
    answers: tuple[int, ...]


def get(headers: bytes = b"", path: bytes = b"/ops/liveness", version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET %b %b\r\nHost: x\r\n%b\r\n" % (path, version, headers)


def post(body: bytes, headers: bytes = JSON) -> bytes:
    return b"POST /payments HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (
        headers,
        len(body),
        body,
    )


def framed(headers: bytes, body: bytes) -> bytes:
    return b"POST /payments HTTP/1.1\r\nHost: x\r\n%b%b\r\n%b" % (JSON, headers, body)


CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

AMBIGUOUS_FRAMES = {
    "length before coding": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "coding before length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "length nought and coding": b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n",
    "two equal lengths": b"Content-Length: 5\r\nContent-Length: 5\r\n",
    "two lengths in a list": b"Content-Length: 5, 6\r\n",
    "two equal lengths in a list": b"Content-Length: 5,5\r\n",
    "length with plus": b"Content-Length: +5\r\n",
    "length with minus": b"Content-Length: -5\r\n",
    "length in hexadecimal": b"Content-Length: 0x5\r\n",
    "length with a fraction": b"Content-Length: 5.0\r\n",
    "length with an exponent": b"Content-Length: 5e0\r\n",
    "length in Arabic digits": "Content-Length: \u0665\r\n".encode(),
    "length in quotes": b'Content-Length: "5"\r\n',
    "length with an underscore": b"Content-Length: 1_0\r\n",
    "length of two numbers": b"Content-Length: 5 5\r\n",
    "length with NUL": b"Content-Length: 5\x00\r\n",
    "length beyond 64 bits": b"Content-Length: 18446744073709551621\r\n",
    "length of a hundred digits": b"Content-Length: " + b"9" * 100 + b"\r\n",
    "length with a space before its colon": b"Content-Length : 5\r\n",
    "length with a tab before its colon": b"Content-Length\t: 5\r\n",
    "length folded": b"Content-Length:\r\n 5\r\n",
    "length after a bare line feed": b"X: y\nContent-Length: 5\r\n",
    "length after a bare carriage return": b"X: y\rContent-Length: 5\r\n",
    "coding twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "chunked, then identity": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "identity, then chunked": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    "coding identity": b"Transfer-Encoding: identity\r\n",
    "coding gzip": b"Transfer-Encoding: gzip\r\n",
    "coding gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n",
    "coding chunked, gzip": b"Transfer-Encoding: chunked, gzip\r\n",
    "coding chunked, chunked": b"Transfer-Encoding: chunked, chunked\r\n",
    "coding xchunked": b"Transfer-Encoding: xchunked\r\n",
    "coding chunkedx": b"Transfer-Encoding: chunkedx\r\n",
    "coding in quotes": b'Transfer-Encoding: "chunked"\r\n',
    "coding with a parameter": b"Transfer-Encoding: chunked;q=1\r\n",
    "coding and a comma": b"Transfer-Encoding: chunked,\r\n",
    "a comma and coding": b"Transfer-Encoding: ,chunked\r\n",
    "coding with a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "coding with a form feed": b"Transfer-Encoding: chunked\x0c\r\n",
    "coding with NUL": b"Transfer-Encoding: chunked\x00\r\n",
    "coding of non-ASCII": b"Transfer-Encoding: chun\xc5\xbfed\r\n",
    "coding folded": b"Transfer-Encoding:\r\n chunked\r\n",
    "coding with a space before its colon": b"Transfer-Encoding : chunked\r\n",
    "coding with a tab before its colon": b"Transfer-Encoding\t: chunked\r\n",
    "coding with a space before its name": b" Transfer-Encoding: chunked\r\n",
    "coding after a bare line feed": b"X: y\nTransfer-Encoding: chunked\r\n",
    "coding after a bare carriage return": b"X: y\rTransfer-Encoding: chunked\r\n",
}

BAD_CHUNKS = {
    "size with plus": b"+5\r\nabcde\r\n0\r\n\r\n",
    "size with minus": b"-5\r\nabcde\r\n0\r\n\r\n",
    "size with 0x": b"0x5\r\nabcde\r\n0\r\n\r\n",
    "size with an underscore": b"0_5\r\nabcde\r\n0\r\n\r\n",
    "size with a space before": b" 5\r\nabcde\r\n0\r\n\r\n",
    "size with a tab behind": b"5\t\r\nabcde\r\n0\r\n\r\n",
    "size that is no number": b"G\r\nabcde\r\n0\r\n\r\n",
    "size that is missing": b"\r\nabcde\r\n0\r\n\r\n",
    "size beyond 64 bits": b"10000000000000005\r\nabcde\r\n0\r\n\r\n",
    "size ended by a bare line feed": b"5\nabcde\r\n0\r\n\r\n",
    "size ended by a bare carriage return": b"5\rabcde\r\n0\r\n\r\n",
    "data that is longer than its size": b"5\r\nabcdef\r\n0\r\n\r\n",
    "data that is ended by a bare line feed": b"5\r\nabcde\n0\r\n\r\n",
    "data that is not ended": b"5\r\nabcde0\r\n\r\n",
    "extension with NUL": b"5;a=\x00\r\nabcde\r\n0\r\n\r\n",
    "extension with a bare line feed": b"5;a\nabcde\r\n0\r\n\r\n",
    "extension with a bare carriage return": b"5;a\rb\r\nabcde\r\n0\r\n\r\n",
    "last chunk ended by a bare line feed": b"5\r\nabcde\r\n0\n\r\n",
    "trailer without a colon": b"0\r\nnonsense\r\n\r\n",
    "trailer with a space before its colon": b"0\r\nX : y\r\n\r\n",
    "trailer with NUL": b"0\r\nX: \x00\r\n\r\n",
    "trailer folded": b"0\r\nX: y\r\n z\r\n\r\n",
}

BAD_HEADS = {
    "nothing but a line": b"nonsense\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"\x00" * 60 + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /ops/liveness\r\n\r\n",
    "HTTP/0.9 by name": b"GET /ops/liveness HTTP/0.9\r\nHost: x\r\n\r\n",
    "HTTP/1.2": b"GET /ops/liveness HTTP/1.2\r\nHost: x\r\n\r\n",
    "HTTP/2.0": b"GET /ops/liveness HTTP/2.0\r\nHost: x\r\n\r\n",
    "HTTP/3": b"GET /ops/liveness HTTP/3\r\nHost: x\r\n\r\n",
    "HTTP/11": b"GET /ops/liveness HTTP/11\r\nHost: x\r\n\r\n",
    "HTTP/1.10": b"GET /ops/liveness HTTP/1.10\r\nHost: x\r\n\r\n",
    "http/1.1": b"GET /ops/liveness http/1.1\r\nHost: x\r\n\r\n",
    "HTTPS/1.1": b"GET /ops/liveness HTTPS/1.1\r\nHost: x\r\n\r\n",
    "version and a space": b"GET /ops/liveness HTTP/1.1 \r\nHost: x\r\n\r\n",
    "version and more": b"GET /ops/liveness HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "RTSP": b"DESCRIBE rtsp://x RTSP/1.0\r\nHost: x\r\n\r\n",
    "a space before the method": b" GET /ops/liveness HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method in lower case": b"get /ops/liveness HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method that is none": b"FOO /ops/liveness HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method and more": b"GETX /ops/liveness HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method with NUL": b"G\x00T /ops/liveness HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method and a tab": b"GET\t/ops/liveness HTTP/1.1\r\nHost: x\r\n\r\n",
    "no method": b"/ops/liveness HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method of ten thousand letters": b"G" * 10_000 + b" / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the target": b"GET /ops /liveness HTTP/1.1\r\nHost: x\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target without a slash": b"GET ops/liveness HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target that is a query": b"GET ?a=b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target that is an authority": b"GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target that is bytes": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT to a path": b"CONNECT /ops/liveness HTTP/1.1\r\nHost: x\r\n\r\n",
    "a line ended by a bare line feed": b"GET /ops/liveness HTTP/1.1\nHost: x\r\n\r\n",
    "a line ended by a bare carriage return": b"GET /ops/liveness HTTP/1.1\rHost: x\r\n\r\n",
    "a head ended by a bare line feed": b"GET /ops/liveness HTTP/1.1\r\nHost: x\n\n",
    "an encoded slash": get(path=b"/ops%2Fliveness"),
    "encoded steps up": get(path=b"/payments/..%2f..%2fops"),
    "no Host": b"GET /ops/liveness HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /ops/liveness HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "two equal Hosts": b"GET /ops/liveness HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
    "a header without a colon": get(b"nonsense\r\n"),
    "a header without a name": get(b": x\r\n"),
    "a header folded with a space": get(b"X: y\r\n z\r\n"),
    "a header folded with a tab": get(b"X: y\r\n\tz\r\n"),
    "a first header folded": b"GET /ops/liveness HTTP/1.1\r\n Host: x\r\n\r\n",
    "a header of two lines by a bare carriage return": get(b"X: y\rZ: z\r\n"),
    "coding in HTTP/1.0": b"POST /payments HTTP/1.0\r\nHost: x\r\n" + CHUNKED + b"\r\n" + SMUGGLED,
    "an upgrade with a body": framed(
        b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 5\r\n", b"abcde"
    ),
    "an upgrade with chunks": framed(b"Upgrade: h2c\r\nConnection: Upgrade\r\n" + CHUNKED, SMUGGLED),
}

LARGE_HEADS = {
    "a target": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a query": b"GET /?" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header's value": get(b"X: " + b"a" * 70_000 + b"\r\n"),
    "a header's name": get(b"a" * 70_000 + b": x\r\n"),
    "headers together": get(b"".join(b"X-N%d: %b\r\n" % (n, b"a" * 700) for n in range(100))),
    "many headers": get(b"".join(b"X-N%d: y\r\n" % n for n in range(12_000))),
    "trailers": framed(CHUNKED, b"0\r\n" + b"".join(b"X-N%d: y\r\n" % n for n in range(12_000)) + b"\r\n"),
}

ODD_AND_RIGHT = {
    "blank lines before a request": (b"\r\n\r\n" + get(), (200, 200)),
    "an absolute target": (get(path=b"http://elsewhere.example/ops/liveness"), (200, 200)),
    "an absolute target of another scheme": (get(path=b"ftp://elsewhere.example/ops/liveness"), (200, 200)),
    "an absolute target without a path": (get(path=b"http://elsewhere.example"), (400,)),
    "ICE": (b"SOURCE / ICE/1.0\r\nHost: x\r\n\r\n", (404,)),
    "an asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", (404, 200)),
    "an empty Host": (b"GET /ops/liveness HTTP/1.1\r\nHost:\r\n\r\n", (200, 200)),
    "another Host": (b"GET /ops/liveness HTTP/1.1\r\nHost: evil.example\r\n\r\n", (200, 200)),
    "HTTP/1.0": (b"GET /ops/liveness HTTP/1.0\r\n\r\n", (200,)),
    "HTTP/1.0 that would go on": (b"GET /ops/liveness HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", (200,)),
    "HTTP/1.0 with a body": (
        post(GOOD_BODY).replace(b"HTTP/1.1", b"HTTP/1.0"),
        (201,),
    ),
    "an upgrade to a WebSocket": (get(b"Upgrade: websocket\r\nConnection: Upgrade\r\n"), (200,)),
    "an upgrade to h2c": (get(b"Upgrade: h2c\r\nConnection: Upgrade\r\n"), (200,)),
    "an upgrade without Connection": (get(b"Upgrade: websocket\r\n"), (200, 200)),
    "a GET with a body": (get(b"Content-Length: 5\r\n") + b"abcde", (200, 200)),
    "a GET whose body is a request": (get(b"Content-Length: %d\r\n" % len(get())) + get(), (200, 200)),
    "a body nobody reads": (
        b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"a" * 200_000,
        (404, 200),
    ),
    "chunks that nobody reads": (
        b"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        (404, 200),
    ),
    "chunks of single bytes": (
        framed(CHUNKED, b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD_BODY) + b"0\r\n\r\n"),
        (201, 200),
    ),
    "chunks with extensions": (
        framed(CHUNKED, b'%x;a=b;c="d"\r\n%b\r\n0;e\r\n\r\n' % (len(GOOD_BODY), GOOD_BODY)),
        (201, 200),
    ),
    "a size with leading noughts": (
        framed(CHUNKED, b"00000%x\r\n%b\r\n000\r\n\r\n" % (len(GOOD_BODY), GOOD_BODY)),
        (201, 200),
    ),
    "a coding in capitals": (
        framed(b"TRANSFER-ENCODING: ChunkeD\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD_BODY), GOOD_BODY)),
        (201, 200),
    ),
    "a coding by another name": (framed(b"Transfer_Encoding: chunked\r\n", b""), (400, 200)),
    "a key in a trailer": (
        b"POST /reviews/x/settle HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\nX-Internal-Api-Key: a key for the operators\r\n\r\n",
        (401, 200),
    ),
    "a length in a trailer": (framed(CHUNKED, b"0\r\nContent-Length: 500\r\n\r\n"), (400,)),
    "fifty requests at once": (get() * 50, (200,) * 51),
    "fifty payments at once": (post(GOOD_BODY) * 50, (201,) * 50 + (200,)),
    "nonsense behind a request": (get() + b"nonsense\r\n\r\n", (200,)),
    "nonsense behind a payment": (post(GOOD_BODY) + b"\x00\x01\x02", (201,)),
    "an ambiguous one behind a request": (
        get() + framed(CHUNKED + b"Content-Length: 5\r\n", SMUGGLED),
        (200,),
    ),
    "a bad chunk behind a request": (get() + framed(CHUNKED, b"G\r\n"), ()),
    "what follows a last request": (get(b"Connection: close\r\n") + get(), (200,)),
    "thirty-two thousand spaces in a value": (get(b"X:" + b" " * 32_000 + b"y\r\n"), (200, 200)),
    "a query of nonsense": (get(path=b"/circuit-breaker/status?%00&&==&method=%ff"), (400, 200)),
    "a limit that is none": (get(path=b"/experiments?limit=-1"), (400, 200)),
    "a limit of a hundred digits": (get(path=b"/experiments?limit=" + b"9" * 100), (400, 200)),
}

PATHS = {
    "/..": 404,
    "/../../etc/passwd": 404,
    "/ops/../ops/liveness": 404,
    "/ops//liveness": 404,
    "//ops/liveness": 404,
    "/ops/liveness/": 404,
    "/ops/liveness/.": 404,
    "/OPS/LIVENESS": 404,
    "/ops/liveness%00": 404,
    "/ops/liveness%0d%0aX:%20y": 404,
    "/ops/liveness%ff": 404,
    "/ops/liveness%": 404,
    "/ops/liveness%zz": 404,
    "/ops/liveness%u0041": 404,
    "/ops/liveness;a=b": 404,
    "/ops/liveness#fragment": 200,
    "/ops/liveness?a=%2f": 200,
    "/%6fps/liveness": 200,
    "/payments/%00": 404,
    "/payments/%ff%fe": 404,
    "/payments/pay_": 404,
    "/payments/pay_00000000000000000000000000%0a": 404,
    "/payments/" + "a" * 30_000: 404,
    "/payments/pay_' OR 1=1 --".replace(" ", "%20"): 404,
    "/payments/{{7*7}}": 404,
    "/experiments/%00": 404,
    "/experiments/%00/results": 404,
    "/metrics/gateways/%00": 404,
    "/metrics/gateways/" + "%f0%9f%92%b3" * 100: 404,
    "/gateway-notifications/razorpay": 405,
    "/reviews/%00/settle": 405,
    "/bandit/policy/%00/enable": 405,
}

METHODS = {
    "HEAD": 200,
    "OPTIONS": 405,
    "TRACE": 405,
    "PUT": 405,
    "PATCH": 405,
    "DELETE": 405,
    "PROPFIND": 405,
    "PURGE": 405,
    "LINK": 405,
    "M-SEARCH": 405,
    "QUERY": 405,
}


def with_field(field: bytes, value: bytes) -> bytes:
    start = GOOD_BODY.index(b'"%b":' % field) + len(field) + 3
    end = min(place for place in (GOOD_BODY.find(b",", start), GOOD_BODY.find(b"}", start)) if place > 0)
    return GOOD_BODY[:start] + value + GOOD_BODY[end:]


BODIES = {
    "nothing": (b"", 400),
    "spaces": (b"   ", 400),
    "a byte": (b"{", 400),
    "NUL": (b"\x00", 400),
    "null": (b"null", 422),
    "a list": (b"[]", 422),
    "a string": (b'"x"', 422),
    "a number": (b"1", 422),
    "two values": (GOOD_BODY * 2, 400),
    "a value and more": (GOOD_BODY + b"x", 400),
    "a value and NUL": (GOOD_BODY + b"\x00", 400),
    "a comment": (b"/**/" + GOOD_BODY, 400),
    "single quotes": (GOOD_BODY.replace(b'"', b"'"), 400),
    "a comma too many": (GOOD_BODY[:-1] + b",}", 400),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD_BODY, 400),
    "UTF-16": (GOOD_BODY.decode().encode("utf-16"), 400),
    "UTF-32": (GOOD_BODY.decode().encode("utf-32"), 400),
    "a name twice": (GOOD_BODY[:-1] + b',"amount_minor":1}', 400),
    "a name twice, once escaped": (GOOD_BODY[:-1] + b',"amount\\u005fminor":1}', 400),
    "a name twice, further in": (GOOD_BODY.replace(b'"vpa"', b'"vpa":"test@okaxis","vpa"'), 400),
    "a tag twice": (GOOD_BODY.replace(b'"type"', b'"type":"UPI","type"'), 400),
    "an unknown name": (GOOD_BODY[:-1] + b',"x":1}', 422),
    "a name of bytes": (GOOD_BODY[:-1] + b',"\xff\xfe":1}', 400),
    "a value of bytes": (with_field(b"customer_id", b'"\xff\xfe"'), 400),
    "an overlong encoding": (with_field(b"customer_id", b'"\xc0\xaf"'), 400),
    "a surrogate in UTF-8": (with_field(b"customer_id", b'"\xed\xa0\x80"'), 400),
    "half a surrogate pair": (with_field(b"customer_id", b'"\\ud800"'), 400),
    "a raw line feed in a string": (with_field(b"customer_id", b'"a\nb"'), 400),
    "a raw NUL in a string": (with_field(b"customer_id", b'"a\x00b"'), 400),
    "NUL in a string": (with_field(b"customer_id", b'"a\\u0000b"'), 422),
    "NUL in a merchant": (with_field(b"merchant_id", b'"m\\u0000"'), 422),
    "NUL in a VPA": (with_field(b"vpa", b'"a\\u0000@okhdfcbank"'), 422),
    "a line feed at the end of a merchant": (with_field(b"merchant_id", b'"m_001\\n"'), 422),
    "an empty merchant": (with_field(b"merchant_id", b'""'), 422),
    "an emoji as customer": (with_field(b"customer_id", '"\U0001f4b3"'.encode()), 422),
    "right to left": (with_field(b"customer_id", '"\u202eabc"'.encode()), 422),
    "an amount of nought": (with_field(b"amount_minor", b"0"), 422),
    "a negative amount": (with_field(b"amount_minor", b"-1"), 422),
    "an amount of 63 bits": (with_field(b"amount_minor", b"9223372036854775807"), 422),
    "an amount of 64 bits": (with_field(b"amount_minor", b"18446744073709551616"), 422),
    "an amount of a thousand digits": (with_field(b"amount_minor", b"9" * 1000), 422),
    "an amount of sixty thousand digits": (with_field(b"amount_minor", b"9" * 60_000), 422),
    "a fraction": (with_field(b"amount_minor", b"10.5"), 422),
    "an exponent": (with_field(b"amount_minor", b"1e999"), 422),
    "an amount in quotes": (with_field(b"amount_minor", b'"1000"'), 422),
    "an amount that is true": (with_field(b"amount_minor", b"true"), 422),
    "NaN": (with_field(b"amount_minor", b"NaN"), 400),
    "Infinity": (with_field(b"amount_minor", b"-Infinity"), 400),
    "a leading nought": (with_field(b"amount_minor", b"01000"), 400),
    "hexadecimal": (with_field(b"amount_minor", b"0x10"), 422),
    "a card number as customer": (with_field(b"customer_id", b'"4111111111111111"'), 422),
    "lists in lists": (b"[" * 30_000 + b"]" * 30_000, 422),
    "objects in objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 422),
    "lists in a field": (with_field(b"vpa", b"[" * 30_000 + b"]" * 30_000), 422),
    "lists in an unknown field": (GOOD_BODY[:-1] + b',"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}", 422),
    "lists that do not end": (b"[" * 60_000, 422),
    "five thousand names": (b"{" + b",".join(b'"n%d":1' % n for n in range(5000)) + b"}", 422),
    "a string of sixty thousand": (with_field(b"customer_id", b'"' + b"a" * 60_000 + b'"'), 422),
    "as much as is allowed": (GOOD_BODY + b" " * (65_536 - len(GOOD_BODY)), 201),
    "a byte more": (GOOD_BODY + b" " * (65_537 - len(GOOD_BODY)), 413),
    "a quarter of a megabyte": (b" " * 262_144, 413),
}

CONTENT_HEADERS = {
    "no type": (b"", 415),
    "text": (b"Content-Type: text/plain\r\n", 415),
    "a form": (b"Content-Type: application/x-www-form-urlencoded\r\n", 415),
    "XML": (b"Content-Type: application/xml\r\n", 415),
    "two types": (b"Content-Type: application/json\r\nContent-Type: text/plain\r\n", 415),
    "a type in a list": (b"Content-Type: application/json, text/plain\r\n", 415),
    "UTF-7": (b"Content-Type: application/json; charset=utf-7\r\n", 415),
    "UTF-16 by name": (b"Content-Type: application/json; charset=utf-16\r\n", 415),
    "a coding": (b"Content-Type: application/json\r\nContent-Encoding: gzip\r\n", 415),
    "codings": (
        b"Content-Type: application/json\r\nContent-Encoding: identity\r\nContent-Encoding: br\r\n",
        415,
    ),
    "a type of bytes": (b"Content-Type: \xff\xfe\r\n", 415),
}

REQUEST_HEADERS = {
    "no key": (b"", 400),
    "an empty key": (b"Idempotency-Key:\r\n", 400),
    "an empty key in quotes": (b'Idempotency-Key: ""\r\n', 400),
    "two keys": (b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n", 400),
    "a key of bytes": (b"Idempotency-Key: \xff\r\n", 400),
    "a key of three hundred": (b"Idempotency-Key: " + b"a" * 300 + b"\r\n", 400),
    "a key that does not end its quotes": (b'Idempotency-Key: "abc\r\n', 400),
    "a key with a space": (b"Idempotency-Key: a b\r\n", 400),
    "context of bytes": (b"Idempotency-Key: a\r\nX-Context-A: \xff\r\n", 400),
    "context twice": (b"Idempotency-Key: a\r\nX-Context-A: 1\r\nX-Context-A: 2\r\n", 400),
    "context without a name": (b"Idempotency-Key: a\r\nX-Context-: 1\r\n", 400),
    "too much context": (
        b"Idempotency-Key: a\r\n" + b"".join(b"X-Context-N%d: 1\r\n" % n for n in range(17)),
        400,
    ),
    "a long context": (b"Idempotency-Key: a\r\nX-Context-A: " + b"a" * 257 + b"\r\n", 400),
    "context with a card number": (b"Idempotency-Key: a\r\nX-Context-A: 4111 1111 1111 1111\r\n", 400),
    "a request id of bytes": (b"Idempotency-Key: a\r\nX-Request-Id: \xff\xfe\r\n", 201),
    "a request id that is none": (b"Idempotency-Key: a\r\nX-Request-Id: ' OR 1=1 --\r\n", 201),
    "addresses that are none": (b"Idempotency-Key: a\r\nX-Forwarded-For: \xff, ::::, 1.2.3\r\n", 201),
    "ten thousand addresses": (
        b"Idempotency-Key: a\r\nX-Forwarded-For: " + b"1.2.3.4," * 7000 + b"\r\n",
        201,
    ),
    "an expectation that is none": (b"Idempotency-Key: a\r\nExpect: a-miracle\r\n", 201),
}

CONTROLS = [byte for byte in (*range(32), 127) if byte not in (9, 10, 13)]
NO_TOKEN = rb'"(),/;<=>?@[\]{}'


def quick() -> Iterator[Case]:
    """Those that are complete."""
    for name, headers in AMBIGUOUS_FRAMES.items():
        yield Case(f"frame: {name}", framed(headers, SMUGGLED), (400,))
    for method, (name, headers) in product((b"GET", b"DELETE"), AMBIGUOUS_FRAMES.items()):
        sent = b"%b /ops/liveness HTTP/1.1\r\nHost: x\r\n%b\r\n%b" % (method, headers, SMUGGLED)
        yield Case(f"frame of {method.decode()}: {name}", sent, (400,))
    for name, body in BAD_CHUNKS.items():
        yield Case(f"chunk: {name}", framed(CHUNKED, body), (400,))
    for name, sent in BAD_HEADS.items():
        yield Case(f"head: {name}", sent, (400,))
    for byte in CONTROLS:
        yield Case(f"value with {byte:#x}", get(b"X: a%cb\r\n" % byte), (400,))
        yield Case(f"name with {byte:#x}", get(b"X%cY: a\r\n" % byte), (400,))
        yield Case(f"target with {byte:#x}", get(path=b"/ops/live%cness" % byte), (400,))
    for byte in NO_TOKEN:
        yield Case(f"name with {byte:c}", get(b"X%cY: a\r\n" % byte), (400,))
    for name, sent in LARGE_HEADS.items():
        yield Case(f"large: {name}", sent, (431,))
    for name, (sent, answers) in ODD_AND_RIGHT.items():
        yield Case(f"odd: {name}", sent, answers)
    for path, status in PATHS.items():
        yield Case(f"path: {path[:60]}", get(path=path.encode()), (status, 200))
    for method_name, status in METHODS.items():
        sent = get().replace(b"GET", method_name.encode(), 1)
        yield Case(f"method: {method_name}", sent, (status, 200))
    for name, (body, status) in BODIES.items():
        yield Case(f"body: {name}", post(body), (status,) if status == 413 else (status, 200))
    for name, (headers, status) in CONTENT_HEADERS.items():
        yield Case(f"content: {name}", post(GOOD_BODY, headers + b"Idempotency-Key: a\r\n"), (status, 200))
    for name, (headers, status) in REQUEST_HEADERS.items():
        yield Case(
            f"header: {name}", post(GOOD_BODY, b"Content-Type: application/json\r\n" + headers), (status, 200)
        )


class SlowCase(NamedTuple):
    """`then` is sent again and again, a few times a second, until the connection ends."""

    name: str
    sent: bytes
    then: bytes
    answers: tuple[int, ...]


MORE = b"a" * 1000
SLOW = [
    SlowCase("nothing", b"", b"", ()),
    SlowCase("half a request line", b"GET /ops/live", b"", ()),
    SlowCase("half a head", b"GET /ops/liveness HTTP/1.1\r\nHost: x\r\n", b"", ()),
    SlowCase("half a header", b"GET /ops/liveness HTTP/1.1\r\nHost: ", b"", ()),
    SlowCase("blank lines", b"", b"\r\n", ()),
    SlowCase("a request line that trickles", b"GET /", b"a", ()),
    SlowCase("headers that trickle", b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n", ()),
    SlowCase("blank lines behind a request", get(), b"\r\n", (200,)),
    SlowCase("half a head behind a request", get() + b"GET ", b"", (200,)),
    SlowCase("headers that trickle behind a request", get() + b"GET / HTTP/1.1\r\n", b"X: y\r\n", (200,)),
    SlowCase("half a body", post(GOOD_BODY)[:-5], b"", (408,)),
    SlowCase("a body that trickles", framed(b"Content-Length: 60000\r\n", b"{"), b" ", (408,)),
    SlowCase("chunks that trickle", framed(CHUNKED, b"1\r\n{\r\n"), b"1\r\n \r\n", (408,)),
    SlowCase("half a size", framed(CHUNKED, b"5"), b"", (408,)),
    SlowCase("a size that trickles", framed(CHUNKED, b"0"), b"0", (408,)),
    SlowCase("an extension that trickles", framed(CHUNKED, b"5;"), b"a", (408,)),
    SlowCase("half a chunk", framed(CHUNKED, b"5\r\nab"), b"", (408,)),
    SlowCase("no last chunk", framed(CHUNKED, b"%x\r\n%b\r\n" % (len(GOOD_BODY), GOOD_BODY)), b"", (408,)),
    SlowCase("trailers that trickle", framed(CHUNKED, b"0\r\n"), b"X: y\r\n", (408,)),
    SlowCase(
        "a body that was promised",
        framed(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b""),
        b"",
        (100, 408),
    ),
    SlowCase("a body nobody asked for", get(b"Content-Length: 60000\r\n"), b"a", (200,)),
    SlowCase("a body nobody asked for, that stops", get(b"Content-Length: 60000\r\n"), b"", (200,)),
    SlowCase(
        "a body of somebody without a key",
        b"POST /reviews/x/settle HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000000\r\n\r\n",
        b"a",
        (401,),
    ),
    SlowCase(
        "trailers behind an answer",
        b"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X: y\r\n",
        (404,),
    ),
    SlowCase(
        "a notification that stops",
        b"POST /gateway-notifications/razorpay HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
        b"",
        (408,),
    ),
    SlowCase("a target that does not end", b"GET /" + b"a" * 300_000, MORE, (431,)),
    SlowCase("a name that does not end", b"GET / HTTP/1.1\r\n" + b"a" * 300_000, MORE, (431,)),
    SlowCase("a value that does not end", b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000, MORE, (431,)),
    SlowCase("a trailer that does not end", framed(CHUNKED, b"0\r\nX: " + b"a" * 300_000), MORE, (431,)),
    SlowCase("an extension that does not end", framed(CHUNKED, b"5;" + b"a" * 300_000), MORE, (431,)),
    SlowCase("a chunk of 64 bits", framed(CHUNKED, b"ffffffffffffffff\r\nabcde"), b"a", (408,)),
    SlowCase("an upgrade", get(b"Upgrade: websocket\r\nConnection: Upgrade\r\n"), b"\x81\x01a", (200,)),
]
