"""The API's description, held by the client: what it sends, and what it accepts."""
