"""Records events together with what caused them, and gives them back in order."""
