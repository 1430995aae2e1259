"""Messages: queueing, handing out, reports, receiving, and how each one ends."""
