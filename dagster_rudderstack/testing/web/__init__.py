"""The HTTP side of the local RudderStack: requests in, answers out."""
