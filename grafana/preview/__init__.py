"""Pictures of the dashboards, without Grafana: `python -m grafana.preview` draws them."""
