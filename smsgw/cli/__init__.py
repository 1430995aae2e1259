"""`python -m smsgw …`: what an operator does on the machine itself."""
