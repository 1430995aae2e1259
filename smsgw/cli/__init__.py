"""Provides the commands that an operator runs on the machine itself: `smsgw …`."""
