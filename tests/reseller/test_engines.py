import socket

import pytest

from reseller.engines import HOST, reserve_port


def test_a_reserved_port_is_for_servers_that_are_told_it_and_for_nobody_else():
    port = reserve_port()
    for _ in range(2):  # again after the first one ended
        with socket.create_server((HOST, port)) as server, socket.create_connection((HOST, port)), server.accept()[0]:
            pass
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((HOST, port))
