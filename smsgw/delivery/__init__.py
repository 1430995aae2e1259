"""Claims due webhook deliveries, signs them, sends them and settles them: the worker."""
