"""Programs to try the server with: a demo server, a pretend phone and a sample CRM."""
