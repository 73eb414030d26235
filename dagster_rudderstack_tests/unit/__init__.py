"""Client, models, policies, errors and resource, each by itself, over real HTTP."""
