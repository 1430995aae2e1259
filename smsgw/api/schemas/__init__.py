"""Describes the requests and responses of `/api/v1`."""
