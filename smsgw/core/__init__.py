"""Holds the rules as plain functions: one module per noun, no Flask and no network."""
