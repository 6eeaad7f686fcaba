"""The wall: which URLs may be called, and which addresses may be connected to."""

import asyncio
import socket
from ipaddress import ip_address

import pytest

from app.core.errors import InvalidInput
from app.courier import wall
from app.courier.wall import check_url, resolve
from tests.courier.internet import Internet, silent_name_server

CHARACTERS = "only printable ASCII without spaces is allowed"
BEGINNING = "it must begin with https://"
UNREADABLE = "its host and port cannot be read"
NO_NAME = "is no host name"
NO_ADDRESS = "is no address in the usual form"
USER = "it has a user name or password"
ENCODE = "its path or query has characters that must be percent-encoded"
DOTS = "its path has a step . or .."
PRIVATE = "is not public"
HERE = "is the machine itself"
WITHIN = "is a name within some network"

EVIL = [
    ("", "it has 0 characters"),
    ("https://example.com/" + "a" * 1981, "it has 2001 characters; it must have 1 to 2000"),
    ("http://example.com/", "so that nobody on the way can read or change"),
    ("ftp://example.com/", BEGINNING),
    ("file:///etc/passwd", BEGINNING),
    ("gopher://example.com/", BEGINNING),
    ("javascript:alert(1)", BEGINNING),
    ("//example.com/", BEGINNING),
    ("example.com", BEGINNING),
    ("https:/example.com/", BEGINNING),
    ("https:\\\\example.com/", BEGINNING),
    (" https://example.com/", f"character 1 is ' '; {CHARACTERS}"),
    ("https://example.com/a b", f"character 22 is ' '; {CHARACTERS}"),
    ("https://example.com/\r\nHost: intern", f"character 21 is '\\r'; {CHARACTERS}"),
    ("https://exa\tmple.com/", f"character 12 is '\\t'; {CHARACTERS}"),
    ("https://example.com/\0", CHARACTERS),
    ("https://example.com/\x7f", CHARACTERS),
    ("https://bücher.example/", f"character 10 is '\\xfc'; {CHARACTERS}"),
    ("https://ⓔxample.com/", CHARACTERS),
    ("https://example。com/", CHARACTERS),
    ("https://1２7.0.0.1/", CHARACTERS),
    ("https://alice@example.com/", USER),
    ("https://alice:secret@example.com/", USER),
    ("https://example.com@10.0.0.1/", USER),
    ("https://example.com:443@10.0.0.1/", USER),
    ("https://example.com/#top", "it has a fragment"),
    ("https://example.com#@10.0.0.1/", "it has a fragment"),
    ("https://example.com\\@10.0.0.1/", USER),
    ("https://example.com\\.evil.example/", NO_NAME),
    ("https://example.com/\\..\\", ENCODE),
    ("https://example.com/%zz", ENCODE),
    ('https://example.com/"', ENCODE),
    ("https://example.com/?a[]=1", ENCODE),
    ("https://example.com/a/../b", DOTS),
    ("https://example.com/.", DOTS),
    ("https://", UNREADABLE),
    ("https:///path", UNREADABLE),
    ("https://:443/", UNREADABLE),
    ("https://example.com:/", UNREADABLE),
    ("https://example.com:0/", UNREADABLE),
    ("https://example.com:65536/", UNREADABLE),
    ("https://example.com:-1/", UNREADABLE),
    ("https://example.com:4_3/", UNREADABLE),
    ("https://example.com:80:443/", UNREADABLE),
    ("https://[::1/", UNREADABLE),
    ("https://::1/", UNREADABLE),
    ("https://example.com./", NO_NAME),
    ("https://example..com/", NO_NAME),
    ("https://-example.com/", NO_NAME),
    ("https://exa_mple.com/", NO_NAME),
    ("https://exa%6dple.com/", NO_NAME),
    ("https://%31%30.0.0.1/", NO_ADDRESS),
    ("https://*.example.com/", NO_NAME),
    (f"https://{'a' * 64}.com/", NO_NAME),
    (f"https://{'abc.' * 63}com/", NO_NAME),
    ("https://intranet/", WITHIN),
    ("https://metadata/", WITHIN),
    ("https://localhost/", HERE),
    ("https://LOCALHOST:8443/", HERE),
    ("https://127.0.0.1/", HERE),
    ("https://127.255.255.254/", HERE),
    ("https://[::1]/", HERE),
    ("https://127.1/", NO_ADDRESS),
    ("https://2130706433/", NO_ADDRESS),
    ("https://0x7f000001/", NO_ADDRESS),
    ("https://0x7f.0.0.1/", NO_ADDRESS),
    ("https://127.0.0.0x1/", NO_ADDRESS),
    ("https://0177.0.0.1/", NO_ADDRESS),
    ("https://127.0.0.01/", NO_ADDRESS),
    ("https://127.0.0.1./", NO_ADDRESS),
    ("https://1.2.3.4.5/", NO_ADDRESS),
    ("https://256.1.1.1/", NO_ADDRESS),
    ("https://[fe80::1%25eth0]/", NO_ADDRESS),
    ("https://[::1%lo]/", NO_ADDRESS),
    ("https://[::ffff:127.0.0.1]/", NO_ADDRESS),
    ("https://[::ffff:7f00:1]/", NO_ADDRESS),
    ("https://[127.0.0.1]/", NO_ADDRESS),
    ("https://[v1.fe80::a]/", NO_ADDRESS),
    ("https://0.0.0.0/", PRIVATE),
    ("https://10.0.0.1/", PRIVATE),
    ("https://169.254.169.254/latest/meta-data", PRIVATE),
    ("https://[fd00:ec2::254]/", PRIVATE),
    ("https://[::]/", PRIVATE),
    ("https://[fe80::1]/", PRIVATE),
    ("https://[64:ff9b::7f00:1]/", PRIVATE),
    ("https://[::127.0.0.1]/", PRIVATE),
]


@pytest.mark.parametrize(("url", "why"), EVIL, ids=[ascii(url)[:60] for url, _ in EVIL])
def test_url_that_could_do_harm_is_refused(url: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_url(url, loopback=False)
    assert refused.value.message.startswith("this URL cannot be called: ")
    assert why in refused.value.message
    assert refused.value.path == ("url",)


def test_enough_evil_urls_are_tried() -> None:
    assert len(EVIL) == len({url for url, _ in EVIL}) == 86


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Hooks.Example.COM:443/In?a=B", "https://hooks.example.com/In?a=B"),
        ("https://example.com:8443?x=1", "https://example.com:8443/?x=1"),
        ("https://xn--bcher-kva.example/%C3%BC/@me;v=1/a,b", "https://xn--bcher-kva.example/%C3%BC/@me;v=1/a,b"),
        ("https://93.184.216.34/x", "https://93.184.216.34/x"),
        ("https://[2606:2800:21F:0:0::1]:444/", "https://[2606:2800:21f::1]:444/"),
        (f"https://{'abc.' * 62}com/", f"https://{'abc.' * 62}com/"),
        ("https://example.com/" + "a" * 1980, "https://example.com/" + "a" * 1980),
    ],
)
def test_url_that_may_be_called_is_put_in_its_normal_form(url: str, normal: str) -> None:
    assert check_url(url, loopback=False) == normal
    assert check_url(normal, loopback=True) == normal


@pytest.mark.parametrize(
    "url", ["http://localhost:8090/", "https://localhost:8090/", "http://127.0.0.1/", "http://[::1]:8090/a"]
)
def test_loopback_is_allowed_by_setting_only(url: str) -> None:
    assert check_url(url, loopback=True) == url
    with pytest.raises(InvalidInput, match=HERE):
        check_url(url, loopback=False)


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "https://10.0.0.1/", "http://127.1/", "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/"],
)
def test_with_loopback_everything_else_stays_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        check_url(url, loopback=True)


CLOSED = """
0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 169.254.169.254 172.16.0.0
172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255
198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 168.63.129.16
:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 100::1 2001::1
2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a00:1::
2002:808:808:: 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%2 fec0::1 ff02::1
2606:2800:21f::1%2
"""


@pytest.mark.parametrize("text", CLOSED.split())
def test_address_that_not_everybody_can_reach_is_not_public(text: str) -> None:
    assert not wall.is_public(ip_address(text))


OPEN = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255
192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 2606:2800:21f::1 2001:4860:4860::8888 2a00:1450::1
::ffff:8.8.8.8 64:ff9b::8.8.8.8
"""


@pytest.mark.parametrize("text", OPEN.split())
def test_address_that_everybody_can_reach_is_public(text: str) -> None:
    assert wall.is_public(ip_address(text))


async def test_host_resolves_to_its_public_addresses_each_once(internet: Internet) -> None:
    internet.names["hooks.example"] = ["93.184.216.34", "2606:2800:21f::1", "93.184.216.34", "::ffff:8.8.8.8"]
    found = await resolve("https://hooks.example/in", loopback=False)
    assert found == ("93.184.216.34", "2606:2800:21f::1", "8.8.8.8")
    assert internet.asked == [("hooks.example", 443)]


async def test_only_the_first_addresses_of_many_are_tried(internet: Internet) -> None:
    internet.names["many.example"] = [f"8.8.8.{number}" for number in range(1, 9)]
    assert await resolve("https://many.example/", loopback=False) == ("8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4")


async def test_literal_is_not_looked_up(internet: Internet) -> None:
    assert await resolve("https://93.184.216.34/", loopback=False) == ("93.184.216.34",)
    assert await resolve("https://[2606:2800:21f::1]/", loopback=False) == ("2606:2800:21f::1",)
    assert internet.asked == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "fe80::1%2", "64:ff9b::a00:1"])
@pytest.mark.parametrize("loopback", [False, True])
async def test_name_with_one_address_that_is_not_public_is_refused(
    internet: Internet, address: str, loopback: bool
) -> None:
    internet.names["rebind.example"] = ["93.184.216.34", address]
    with pytest.raises(InvalidInput) as refused:
        await resolve("https://rebind.example/", loopback=loopback)
    assert refused.value.message == (
        f"this URL cannot be called: rebind.example has the address {address}, which is not public; "
        "give one that everybody can reach"
    )
    assert refused.value.path == ("url",)


async def test_mapped_address_is_seen_as_what_it_is(internet: Internet) -> None:
    internet.names["mapped.example"] = ["::ffff:127.0.0.1"]
    with pytest.raises(InvalidInput, match=r"mapped\.example has the address 127\.0\.0\.1, which is not public"):
        await resolve("https://mapped.example/", loopback=False)


async def test_localhost_that_is_elsewhere_is_refused(internet: Internet) -> None:
    internet.names["localhost"] = ["127.0.0.1", "10.0.0.1"]
    with pytest.raises(InvalidInput, match=r"localhost has the address 10\.0\.0\.1, which is not public"):
        await resolve("http://localhost:8090/", loopback=True)


async def test_localhost_of_this_machine_is_loopback() -> None:
    assert set(await resolve("http://localhost:8090/", loopback=True)) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "Temporary failure"),
        (UnicodeError("label too long"), "label too long"),
    ],
)
async def test_name_that_does_not_resolve_is_refused(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, why: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(InvalidInput, match=rf"nowhere\.example cannot be found \({why}.*\); check the name"):
        await resolve("https://nowhere.example/", loopback=False)


async def test_name_server_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wall, "LOOK_UP_S", 0.1)
    why = r"slow\.example cannot be found \(no answer within 0\.1 s\); check the name"
    with silent_name_server(monkeypatch), pytest.raises(InvalidInput, match=why):
        await resolve("https://slow.example/", loopback=False)


async def test_names_that_are_slow_to_be_found_keep_no_threads_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_name_server(monkeypatch):
        asking = [asyncio.create_task(resolve("https://slow.example/", loopback=False)) for _ in range(40)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(1):
            assert await asyncio.to_thread(lambda: "measured") == "measured"
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def test_name_without_addresses_is_refused(internet: Internet) -> None:
    internet.names["empty.example"] = []
    with pytest.raises(InvalidInput, match=r"empty\.example has no address; check the name"):
        await resolve("https://empty.example/", loopback=False)
