"""Events: recording them with what happened, and the feed that gives them back in order."""
