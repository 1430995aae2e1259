"""What is told at once: hints that something was written, and the sockets that pass it on."""
