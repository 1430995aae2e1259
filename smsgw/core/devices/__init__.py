"""Manages devices: who they are, what they may be handed, and whether they are online."""
