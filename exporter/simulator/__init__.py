"""A simulator of both providers' APIs."""
