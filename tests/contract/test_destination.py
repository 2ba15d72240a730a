"""Mixpanel over real sockets: every row of the verdict table, and whatever else a network can do."""

from __future__ import annotations

import gzip
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from scripted_server import (
    Answer,
    Certified,
    ScriptedServer,
    certified,
    close,
    forever,
    http,
    requests_on,
    reset,
    silence,
    then,
)
from sending import TOKEN, Time, batch_of, outgoing

from sync_profiles import __version__
from sync_profiles.core.reply import ANSWER_BYTES_MAX
from sync_profiles.core.types import (
    Accepted,
    Batch,
    Invalid,
    Refused,
    Throttled,
    TooLarge,
    Uncertain,
    Verdict,
)
from sync_profiles.destination import wire
from sync_profiles.destination.hosts import hosts
from sync_profiles.destination.layers import Paced, Retrying
from sync_profiles.destination.mixpanel import Mixpanel
from sync_profiles.destination.wire import _Watch

GOOD_BODY = b'{"error":null,"errors":{},"num_good_events":2,"status":1}'
GOOD = http(200, GOOD_BODY, Content_Type="application/json")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *BUNDLES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def mixpanel(url: str, *, timeout_s: float = 10.0) -> Mixpanel:
    return Mixpanel(hosts("us", url), token=TOKEN, timeout_s=timeout_s, clock=Time())


def verdict_on(*answers: Answer, batch: Batch | None = None, timeout_s: float = 10.0) -> Verdict:
    """The verdict on the last of as many requests as there are answers."""
    with ScriptedServer(*answers) as server:
        destination = mixpanel(server.url, timeout_s=timeout_s)
        verdicts = [destination.send(batch or batch_of()) for _ in answers]
        destination.close()
    return verdicts[-1]


# --- the request -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "group", "path"),
    [
        ("", False, "/engage?ip=0&strict=1&verbose=1"),
        ("", True, "/groups?ip=0&strict=1&verbose=1"),
        ("/gateway/mixpanel/", False, "/gateway/mixpanel/engage?ip=0&strict=1&verbose=1"),
    ],
)
def test_the_body_is_posted_as_it_is_and_nothing_else_is_told(prefix: str, group: bool, path: str) -> None:
    batch = batch_of(group=group)
    with ScriptedServer(GOOD) as server:
        assert mixpanel(server.url + prefix).send(batch) == Accepted()
    (request,) = server.requests
    assert request.line == f"POST {path} HTTP/1.1"
    assert request.body == batch.body
    headers = dict(request.headers)
    assert headers.pop("host").startswith("127.0.0.1")
    assert headers == {
        "user-agent": f"sync-profiles/{__version__}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "keep-alive",
        "content-type": "application/json",
        "content-length": str(len(batch.body)),
    }


@pytest.mark.parametrize(
    ("region", "ingestion", "query"),
    [
        ("us", "https://api.mixpanel.com", "https://mixpanel.com"),
        ("eu", "https://api-eu.mixpanel.com", "https://eu.mixpanel.com"),
        ("in", "https://api-in.mixpanel.com", "https://in.mixpanel.com"),
    ],
)
def test_each_region_has_its_hosts(region: str, ingestion: str, query: str) -> None:
    where = hosts(region)  # type: ignore[arg-type]  # the parameters are the three literals
    assert (where.ingestion, where.query) == (ingestion, query)


# --- the verdict table -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (GOOD, Accepted()),
        (http(200, b'{"error":null,"status":1}'), Accepted(counted=False)),
        (http(200, b'{"error":"bad record","status":0}'), Invalid("bad record")),
        (http(200, b'{"error":null,"errors":{"1":["too long"]},"num_good_events":1,"status":1}'), Invalid("too long")),
        (
            http(200, b'{"error":null,"errors":{},"num_good_events":1,"status":1}'),
            Invalid("1 of 2 records were good, no reason given"),
        ),
        (http(200, b"0"), Invalid("answered 0: no record was valid")),
        (http(400, b'{"error":"bad request","status":"error"}'), Invalid("HTTP 400: bad request")),
        (http(413), TooLarge()),
        (http(429), Throttled()),
        (http(429, retry_after="7"), Throttled(7.0)),
        (http(429, Retry_After="Tue, 14 Nov 2023 22:14:20 GMT"), Throttled(60.0)),
        (http(401, b'{"error":"Invalid credentials"}'), Refused("HTTP 401: Invalid credentials")),
        (http(403), Refused("HTTP 403")),
        (http(404), Refused("HTTP 404", 78)),
    ],
)
def test_an_answer_gets_the_verdict_of_the_table(answer: bytes, verdict: Verdict) -> None:
    assert verdict_on(answer) == verdict


@pytest.mark.parametrize(
    "answer",
    [
        *(http(status, GOOD_BODY) for status in (201, 202, 206, 408, 425, 500, 502, 503, 504, 524)),
        http(204),
        http(200),
        http(200, b"1"),
        http(200, b'"1"'),
        http(200, b"<html><body>Please log in</body></html>", Content_Type="text/html"),
        http(200, b'{"status":"ok"}'),
        http(200, GOOD_BODY[:-5]),
        http(200, GOOD_BODY + b"}"),
        http(200, b"\xef\xbb\xbf" + GOOD_BODY),
    ],
)
def test_an_answer_that_proves_nothing_is_uncertain(answer: bytes) -> None:
    assert isinstance(verdict_on(answer), Uncertain)


def test_a_bare_1_is_proof_for_a_single_record_only() -> None:
    assert verdict_on(http(200, b"1"), batch=Batch(1, (outgoing(),))) == Accepted(counted=False)
    assert isinstance(verdict_on(http(200, b"1"), batch=Batch(1, (outgoing(records=2),))), Uncertain)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(status: int) -> None:
    with ScriptedServer(GOOD) as elsewhere:
        verdict = verdict_on(http(status, b"moved", Location=f"{elsewhere.url}/engage"))
        assert elsewhere.connections == 0
    assert isinstance(verdict, Refused)
    assert verdict.exit_code == 78


@pytest.mark.parametrize("location", ["http://[", "ftp://x/", "//", "\udcff", "http://user:word@127.0.0.1:1/"])
def test_a_hostile_redirect_is_only_a_redirect(location: str) -> None:
    answer = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % location.encode(
        "utf-8", "surrogateescape"
    )
    assert isinstance(verdict_on(answer), Refused)


# --- what the network does -------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(GOOD_BODY)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (10, GOOD_BODY[:10], len(GOOD_BODY) - 10, GOOD_BODY[10:])


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED + CHUNKS,
        b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD,
        then(b"HTTP/1.0 200 OK\r\n\r\n" + GOOD_BODY, close),
        then(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", GOOD_BODY, close),
        http(200, gzip.compress(GOOD_BODY), Content_Encoding="gzip"),
        then(*(bytes([byte]) for byte in GOOD)),
    ],
)
def test_an_acknowledgement_counts_in_whatever_form_http_lets_it_come(answer: Answer) -> None:
    assert verdict_on(answer) == Accepted()


@pytest.mark.parametrize(
    "answer",
    [
        reset,
        close,
        then(HEAD[:20], reset),
        then(HEAD[:20], close),
        then(HEAD, close),
        then(HEAD + GOOD_BODY[:-1], close),
        then(HEAD + GOOD_BODY[:-1], reset),
        then(CHUNKED + CHUNKS[:-5], close),
        then(CHUNKED + CHUNKS[:20], reset),
        then(CHUNKED + b"zz\r\n", close),
        then(b"hello\r\n", close),
        then(b"\x16\x03\x01\x02\x00", close),
        then(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n" + GOOD_BODY, close),
        then(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, close),
        http(200, b"not gzip", Content_Encoding="gzip"),
        http(200, gzip.compress(GOOD_BODY)[:-4], Content_Encoding="gzip"),
        http(200, gzip.compress(b" " * 50_000_000 + GOOD_BODY), Content_Encoding="gzip"),
        http(200, GOOD_BODY, Content_Encoding="br"),
        http(200, GOOD_BODY[:-1] + b" " * ANSWER_BYTES_MAX + b"}"),
    ],
)
def test_a_broken_answer_is_uncertain(answer: Answer) -> None:
    assert isinstance(verdict_on(answer), Uncertain)


def test_an_endless_answer_is_left_after_a_megabyte() -> None:
    sent: list[int] = []

    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent.append(connection.send(b" " * 65_536))

    assert isinstance(verdict_on(flood, timeout_s=60), Uncertain)
    assert sum(sent) < 50 * ANSWER_BYTES_MAX, "what was sent beyond a megabyte sits in the buffers of the sockets"


@pytest.mark.parametrize(
    "answer",
    [
        silence,
        then(HEAD, silence),
        then(HEAD + GOOD_BODY[:-1], silence),
        forever(b"H", 0.02),
        then(b"HTTP/1.1 200 OK\r\nX: ", forever(b"y", 0.02)),
        then(b"HTTP/1.1 200 OK\r\n", forever(b"X: y\r\n", 0.1)),
        then(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", forever(b" ", 0.02)),
        then(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", forever(b" ", 0.02)),
        then(CHUNKED, forever(b"0", 0.02)),
        forever(b"HTTP/1.1 100 Continue\r\n\r\n", 0.02),
    ],
)
def test_an_answer_that_never_ends_is_given_up_in_time(answer: Answer) -> None:
    """Without a bound on the whole time these would run into the time-out of the test."""
    assert verdict_on(answer, timeout_s=0.4) == Uncertain("no complete answer within 0.4 s")


def test_a_server_that_does_not_read_is_given_up_in_time() -> None:
    stop = threading.Event()
    big = Batch(1, tuple(outgoing(str(number), body=b"x" * 1_000_000) for number in range(40)))
    with ScriptedServer(greet=lambda _connection: stop.wait(30) and None) as server:
        verdict = mixpanel(server.url, timeout_s=0.4).send(big)
        stop.set()
    assert verdict == Uncertain("no complete answer within 0.4 s")


def test_a_slow_way_out_may_take_longer_than_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "CONNECT_S_MAX", 0.2)

    def slow(connection: socket.socket) -> None:
        threading.Event().wait(0.6)
        for _request in requests_on(connection, 0):
            connection.sendall(http(200, b'{"status":1,"error":null,"num_good_events":40}'))

    big = Batch(1, tuple(outgoing(str(number), body=b"x" * 1_000_000) for number in range(40)))
    with ScriptedServer(greet=slow) as server:
        assert mixpanel(server.url, timeout_s=30).send(big) == Accepted()


def test_a_413_that_comes_before_the_body_was_read_is_understood() -> None:
    def early(connection: socket.socket) -> None:
        connection.sendall(http(413, Connection="close"))
        silence(connection)  # lingering close, as gateways do it

    big = Batch(1, tuple(outgoing(str(number), body=b"x" * 100_000) for number in range(19)))
    with ScriptedServer(greet=early) as server:
        assert mixpanel(server.url, timeout_s=5).send(big) == TooLarge()


def test_a_server_that_is_not_there_is_uncertain() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert mixpanel(f"http://127.0.0.1:{port}").send(batch_of()) == Uncertain("the connection was refused")


def test_a_name_that_is_not_known_is_uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: object, **_named: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert mixpanel("http://mixpanel.invalid").send(batch_of()) == Uncertain("the host name could not be resolved")


# --- connections -----------------------------------------------------------------------------------------------------


def test_a_thread_keeps_its_connection() -> None:
    with ScriptedServer(GOOD, CHUNKED + CHUNKS, http(429), GOOD) as server:
        destination = mixpanel(server.url)
        for _ in range(4):
            destination.send(batch_of())
    assert [request.connection for request in server.requests] == [0, 0, 0, 0]


def test_each_thread_has_a_connection_of_its_own() -> None:
    flight = threading.Barrier(4)

    def together(connection: socket.socket) -> None:
        flight.wait(timeout=10)
        connection.sendall(GOOD)

    verdicts: list[Verdict] = []
    with ScriptedServer(*[together] * 4) as server:
        destination = mixpanel(server.url)
        threads = [threading.Thread(target=lambda: verdicts.append(destination.send(batch_of()))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert verdicts == [Accepted()] * 4
    assert server.connections == 4


def test_a_connection_that_was_closed_meanwhile_costs_no_attempt() -> None:
    closed = threading.Event()

    def answer_and_close(connection: socket.socket) -> None:
        connection.sendall(GOOD)
        close(connection)
        closed.set()

    with ScriptedServer(answer_and_close, GOOD) as server:
        destination = mixpanel(server.url)
        assert destination.send(batch_of()) == Accepted()
        assert closed.wait(10)
        assert destination.send(batch_of()) == Accepted()


def test_an_answer_too_many_is_not_taken_for_the_next_one() -> None:
    assert isinstance(verdict_on(GOOD + GOOD, http(500)), Uncertain)


def test_a_late_answer_is_not_taken_for_that_to_the_next_request() -> None:
    given_up = threading.Event()

    def late(connection: socket.socket) -> None:
        given_up.wait(10)
        connection.sendall(GOOD)

    with ScriptedServer(late, http(500)) as server:
        destination = mixpanel(server.url, timeout_s=0.3)
        assert isinstance(destination.send(batch_of()), Uncertain)
        given_up.set()
        assert destination.send(batch_of()) == Uncertain("HTTP 500", failed=True)
    assert [request.connection for request in server.requests] == [0, 1]


def test_a_bound_that_comes_too_late_leaves_the_next_request_alone() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        watch = _Watch(60)
        with watch:
            watch._socket = ours
        watch._expire()
        theirs.sendall(b"still open")
        assert ours.recv(10) == b"still open"


def test_after_a_failure_the_next_request_starts_afresh() -> None:
    assert verdict_on(then(HEAD + GOOD_BODY[:5], reset), GOOD) == Accepted()


# --- trust, proxies, secrets -----------------------------------------------------------------------------------------


@pytest.fixture
def loopback(tmp_path: Path) -> Certified:
    return certified(tmp_path, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


@pytest.fixture
def tls_server(loopback: Certified) -> Iterator[ScriptedServer]:
    with ScriptedServer(GOOD, GOOD, tls=loopback.server) as server:
        yield server


def test_a_certificate_that_nobody_vouches_for_is_refused(tls_server: ScriptedServer) -> None:
    verdict = mixpanel(tls_server.url).send(batch_of())
    assert isinstance(verdict, Refused)
    assert verdict.exit_code == 78
    assert "certificate is not trusted" in verdict.why
    assert tls_server.requests == []


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_trust_can_be_given_by_the_environment(
    variable: str, loopback: Certified, tls_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(loopback.ca_file))
    destination = mixpanel(tls_server.url)
    assert [destination.send(batch_of()) for _ in range(2)] == [Accepted()] * 2
    assert tls_server.connections == 1


def test_a_certificate_for_another_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = certified(tmp_path, x509.DNSName("mixpanel.example"))
    monkeypatch.setenv("SSL_CERT_FILE", str(other.ca_file))
    with ScriptedServer(GOOD, tls=other.server) as server:
        verdict = mixpanel(server.url).send(batch_of())
    assert isinstance(verdict, Refused)
    assert server.requests == []


def test_a_bundle_that_is_not_there_is_a_configuration_error(
    tls_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    verdict = mixpanel(tls_server.url).send(batch_of())
    assert isinstance(verdict, Refused)
    assert (verdict.exit_code, "REQUESTS_CA_BUNDLE" in verdict.why) == (78, True)


def test_the_bound_on_time_holds_under_tls(loopback: Certified, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(loopback.ca_file))
    slow = then(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", forever(b" ", 0.02))
    with ScriptedServer(slow, GOOD, tls=loopback.server) as server:
        destination = mixpanel(server.url, timeout_s=0.5)
        assert destination.send(batch_of()) == Uncertain("no complete answer within 0.5 s")
        assert destination.send(batch_of()) == Accepted()


def test_speaking_tls_to_a_server_without_it_is_uncertain() -> None:
    with ScriptedServer(greet=lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        assert isinstance(mixpanel(server.url.replace("http:", "https:")).send(batch_of()), Uncertain)


def test_a_proxy_from_the_environment_carries_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(GOOD) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//user:word@"))
        assert mixpanel("http://mixpanel.example/gate").send(batch_of()) == Accepted()
    (request,) = proxy.requests
    assert request.line == "POST http://mixpanel.example/gate/engage?ip=0&strict=1&verbose=1 HTTP/1.1"
    assert request.headers["proxy-authorization"].startswith("Basic ")


def test_a_request_to_this_machine_goes_past_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(GOOD) as proxy, ScriptedServer(GOOD) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert mixpanel(server.url).send(batch_of()) == Accepted()
        assert proxy.connections == 0


def test_no_proxy_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(GOOD) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "mixpanel.invalid")
        mixpanel("http://mixpanel.invalid", timeout_s=0.5).send(batch_of())
        assert proxy.connections == 0


@pytest.mark.parametrize(("status", "kind"), [(407, Refused), (403, Refused), (502, Uncertain), (503, Uncertain)])
def test_a_proxy_that_does_not_open_a_tunnel(status: int, kind: type[Verdict], monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(then(http(status), close)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        verdict = mixpanel("https://mixpanel.example").send(batch_of())
    assert proxy.requests[0].line.startswith("CONNECT mixpanel.example:443")
    assert type(verdict) is kind


def test_a_proxy_that_wants_a_password_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(http(407)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        verdict = mixpanel("http://mixpanel.example").send(batch_of())
    assert verdict == Refused("HTTP 407", 77)


def test_a_proxy_address_that_is_none_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://")
    verdict = mixpanel("http://mixpanel.example").send(batch_of())
    assert isinstance(verdict, Refused)
    assert verdict.exit_code == 78


def test_netrc_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with ScriptedServer(GOOD) as server:
        mixpanel(server.url).send(batch_of())
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b'{"status":0,"error":"%b is unknown, see 1"}' % TOKEN.encode()),
        http(400, b"no such token %b" % TOKEN.encode()),
        http(403, b"no such token %b" % TOKEN.encode()),
        http(302, Location=f"http://127.0.0.1:1/?token={TOKEN}"),
        http(500, TOKEN.encode()),
        then(b"HTTP/1.1 %b\r\n\r\n" % TOKEN.encode(), close),
        reset,
    ],
)
def test_no_verdict_holds_the_token_or_an_address(answer: Answer) -> None:
    said = repr(verdict_on(answer))
    assert TOKEN not in said
    assert "127.0.0.1" not in said


# --- all layers together ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        ([http(502)], Accepted(doubtful=True)),
        ([reset], Accepted(doubtful=True)),
        ([then(HEAD + GOOD_BODY[:9], reset)], Accepted(doubtful=True)),
        ([http(200, b"1")], Accepted(doubtful=True)),
        ([http(429, Retry_After="30")], Accepted()),
        ([http(503), http(429)], Accepted(doubtful=True)),
    ],
)
def test_the_onion_repeats_the_same_bytes_until_they_are_acknowledged(first: list[Answer], verdict: Verdict) -> None:
    time = Time()
    with ScriptedServer(*first, GOOD) as server:
        pace = Paced(mixpanel(server.url), limit=4)
        onion = Retrying(pace, stop=time, clock=time, jitter=lambda: 0.0)
        assert onion.send(batch_of()) == verdict
    assert [request.body for request in server.requests] == [batch_of().body] * (len(first) + 1)
    assert (pace.limit < 4) == any(isinstance(answer, bytes) and b" 429 " in answer for answer in first)


FAULTS: list[Callable[[socket.socket], None]] = [
    reset,
    then(http(500)),
    then(http(200, b"1")),
    then(http(200, b"<html>")),
    then(HEAD, close),
    then(http(429)),
    then(http(200, GOOD_BODY.replace(b"2", b"1"))),
]


@pytest.mark.parametrize("concurrency", [1, 4, 16])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_position_of_a_fault_among_concurrent_requests_is_acknowledged(
    fault: Callable[[socket.socket], None], concurrency: int
) -> None:
    """The fault meets every second request; exactly the honest answers are acknowledgements."""
    count = 16
    verdicts: list[Verdict] = []
    with ScriptedServer(*[GOOD, fault] * (count // 2)) as server:
        destination = mixpanel(server.url)

        def send(times: int) -> None:
            verdicts.extend(destination.send(batch_of()) for _ in range(times))

        threads = [threading.Thread(target=send, args=(count // concurrency,)) for _ in range(concurrency)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.requests) == len(verdicts) == count
    assert verdicts.count(Accepted()) == count // 2
