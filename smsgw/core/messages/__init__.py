"""Queues messages, hands them out, applies reports, receives SMS and ends messages."""
