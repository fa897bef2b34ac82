"""The commands that are not the exporter itself: a module for each."""
