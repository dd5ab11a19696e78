"""The guard under which all tests run: another machine cannot be reached, this one can."""

import socket
import urllib.request

import pytest


@pytest.mark.parametrize("host", ["example.org", "8.8.8.8", "192.168.1.1", "2001:4860:4860::8888", b"example.org"])
def test_no_name_or_address_of_another_machine_is_looked_up(host):
    with pytest.raises(RuntimeError, match="Tests run offline"):
        socket.getaddrinfo(host, 443)


@pytest.mark.parametrize("how", ["connect", "connect_ex"])
def test_no_connection_to_another_machine_is_made(how):
    with socket.socket() as one, pytest.raises(RuntimeError, match=r"reached for '8\.8\.8\.8'"):
        getattr(one, how)(("8.8.8.8", 53))


@pytest.mark.parametrize("flags", [(), (0,)])
def test_no_datagram_is_sent_to_another_machine(flags):
    with socket.socket(type=socket.SOCK_DGRAM) as one, pytest.raises(RuntimeError, match="Tests run offline"):
        one.sendto(b"x", *flags, ("8.8.8.8", 53))


def test_a_page_is_not_fetched_by_any_proxy_either():
    assert urllib.request.getproxies_environment() == {}
    with pytest.raises(RuntimeError, match=r"example\.org"):
        urllib.request.urlopen("http://example.org/", timeout=5)


def test_this_machine_is_reached(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 5) as client:
        client.sendall(b"x")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
    assert socket.getaddrinfo("localhost", 80)
