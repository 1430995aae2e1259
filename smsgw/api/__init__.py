"""Provides the REST API under `/api/v1`, for CRMs and operators."""
