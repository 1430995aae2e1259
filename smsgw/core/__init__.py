"""The rules of the house: plain functions, one module per noun, no Flask and no network."""
