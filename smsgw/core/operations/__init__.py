"""Running the server: housekeeping, health and figures."""
