"""The client: what it sends, and what it accepts, compared with the description of the API."""
