"""The providers of cloud browsers."""
