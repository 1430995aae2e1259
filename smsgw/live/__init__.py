"""Delivers events at once: change notifications of the database, and the WebSockets that pass them on."""
