"""Scrapes: all accounts are read at once, under one deadline, and what was read is recorded."""
