"""The postman: takes due webhook deliveries, signs them, sends them, writes down what came of it."""
