"""The CRMs' and operators' door: REST under `/api/v1`, and the page that explains it."""
