"""Browser Use Cloud."""
