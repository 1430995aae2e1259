"""Serves the MySMSAPio app over REST and Action Cable."""
