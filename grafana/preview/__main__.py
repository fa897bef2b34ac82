"""Draws the pictures: `python -m grafana.preview`, which is `make preview`."""

import sys

from grafana.preview.pictures import main

sys.exit(main())
