"""Holds what all endpoints share: authentication, the error body, and reading and writing bodies."""
