"""Runs the server's processes."""
