"""Configuration: the schema, and the files it is read from."""
