"""What a scrape costs, and what an exporter weighs: `python -m bench.run` prints the table of the README."""
