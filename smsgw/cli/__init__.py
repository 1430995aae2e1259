"""Provides the commands that an operator runs on the server: `smsgw …`."""
