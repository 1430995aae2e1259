"""REST under `/api/v1`, for CRMs and operators."""
