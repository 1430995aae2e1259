"""Knows what an SMS is, without web framework and database."""
