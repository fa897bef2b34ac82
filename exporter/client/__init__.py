"""HTTP requests to a provider's API."""
