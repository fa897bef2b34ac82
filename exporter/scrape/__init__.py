"""A scrape: every account is read, and the result recorded."""
