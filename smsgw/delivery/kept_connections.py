"""Checks whether the other side has closed an idle libcurl connection before it is used again."""

import select

import pycurl

MOST_KNOWN = 1024
Addresses = tuple[str, str, int, int]


class KeptConnections:
    """The descriptors of idle connections by their addresses. For the thread that drives libcurl.

    libcurl looks at an idle connection once a second at most, and otherwise finds out by sending a request on it.
    """

    def __init__(self) -> None:
        self._descriptors: dict[Addresses, int] = {}

    def note(self, curl: pycurl.Curl) -> None:
        """Remember the connection of a transfer that is done and still in its multi handle."""
        descriptor = curl.getinfo(pycurl.ACTIVESOCKET)
        if descriptor < 0:
            return
        self._descriptors[
            curl.getinfo(pycurl.PRIMARY_IP),
            curl.getinfo(pycurl.LOCAL_IP),
            curl.getinfo(pycurl.PRIMARY_PORT),
            curl.getinfo(pycurl.LOCAL_PORT),
        ] = descriptor
        if len(self._descriptors) > MOST_KNOWN:
            del self._descriptors[next(iter(self._descriptors))]

    def has_ended(self, addresses: Addresses) -> bool:
        """Whether there is something to read on the idle connection that is about to be used: its end, or nonsense."""
        descriptor = self._descriptors.pop(addresses, None)
        if descriptor is None:
            return False
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
