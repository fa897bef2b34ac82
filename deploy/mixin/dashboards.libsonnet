// The committed dashboards, by file name.
{
  'cloud-browser-overview.json': import '../../grafana/dashboards/cloud-browser-overview.json',
  'cloud-browser-spend.json': import '../../grafana/dashboards/cloud-browser-spend.json',
  'cloud-browser-errors.json': import '../../grafana/dashboards/cloud-browser-errors.json',
  'cloud-browser-exporter.json': import '../../grafana/dashboards/cloud-browser-exporter.json',
}
