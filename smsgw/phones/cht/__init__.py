"""The stock cht-gateway app."""
