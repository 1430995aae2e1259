"""Serves WebSockets: the handshake, the frames, and the event loop that holds them all."""
