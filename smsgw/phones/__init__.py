"""Serves phones: one package for each app's protocol."""
