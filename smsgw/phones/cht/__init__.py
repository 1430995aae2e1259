"""Serves the stock cht-gateway app."""
