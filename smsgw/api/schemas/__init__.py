"""Describes the requests and answers of `/api/v1`."""
