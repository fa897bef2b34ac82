"""What tests, benchmark and `make stack` share; no part of the distribution."""
