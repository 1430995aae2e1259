"""Webhooks: endpoints, what is delivered to them, and what follows from each attempt."""
