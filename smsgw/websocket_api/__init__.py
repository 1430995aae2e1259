"""Serves the CRM WebSocket API: devices, CRMs, and the REST half of both."""
