"""Holds the examples of the OpenAPI document, which tell one story."""
