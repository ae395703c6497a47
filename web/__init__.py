"""What every HTTP service shares: the app factory, strict bodies, problems told in words, and the server."""
