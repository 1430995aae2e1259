"""One module per figure of the table."""
