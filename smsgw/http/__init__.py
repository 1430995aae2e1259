"""Furniture every door shares: the wiring, who may call, the one error body, reading and writing bodies."""
