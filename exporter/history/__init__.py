"""The sessions that providers still list, as samples of the time in which they ran."""
