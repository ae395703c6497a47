"""What every HTTP service shares: app factory, strict requests, problems as JSON, access control, server."""
