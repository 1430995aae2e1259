"""Serves the dashboard under `/admin`: pages for operators, clerks and viewers."""
