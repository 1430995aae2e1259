"""Checks, before an idle connection is used again, whether the other side has closed it."""

import select

import pycurl

MOST_KNOWN = 1024
Addresses = tuple[str, str, int, int]


class KeptConnections:
    """The descriptors of idle connections by their addresses. For the thread that runs libcurl.

    libcurl looks at an idle connection once a second at most, and otherwise finds out by sending a request on it.
    """

    def __init__(self) -> None:
        self._descriptors: dict[Addresses, int] = {}

    def note(self, curl: pycurl.Curl) -> None:
        """Remember the connection of a finished transfer that is still in its multi handle."""
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
        """Return whether there is something to read on the idle connection: its end, or bytes that nobody asked for."""
        descriptor = self._descriptors.pop(addresses, None)
        if descriptor is None:
            return False
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
