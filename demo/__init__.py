"""Programs to try the server with: a demo server, a simulated phone and a sample CRM."""
