"""Manages webhook endpoints, their deliveries, and what follows from each attempt."""
