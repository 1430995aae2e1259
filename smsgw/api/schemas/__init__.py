"""What requests and answers of `/api/v1` look like."""
