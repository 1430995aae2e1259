"""Runs the server: housekeeping, health and figures."""
