"""What an SMS is: no web framework and no database in here."""
