"""What is scraped, minute by minute, and which alerts fire then: cases for promtool."""
