"""dbt models, and the RudderStack connections that read them."""
