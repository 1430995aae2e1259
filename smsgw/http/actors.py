"""Names the caller of a request for the audit."""

from flask import g, has_request_context, request

from ..store.db import Actor


def find_actor() -> Actor:
    """Return whose key the request came with, and from where; outside of requests it is the server."""
    if not has_request_context():
        return Actor("server")
    address = request.remote_addr
    operator, crm, device = (g.get(name) for name in ("operator_name", "crm", "device"))
    if operator is not None:
        return Actor("operator", operator, operator, address)
    if crm is not None:
        return Actor("crm", crm.id, crm.name, address)
    if device is not None:
        return Actor("device", device.device_id, device.device_id, address)
    return Actor("anonymous", address=address)
