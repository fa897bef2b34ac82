"""Metrics, and how results become metric families."""
