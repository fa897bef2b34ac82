# What pint checks. It has no server to ask, so tests/deploy/ holds the rules against the metrics.
rule {
  match {
    kind = "alerting"
  }
  annotation "summary" {
    severity = "bug"
    required = true
  }
  annotation "description" {
    severity = "bug"
    required = true
  }
  annotation "runbook_url" {
    severity = "bug"
    required = true
  }
  annotation "dashboard_url" {
    severity = "bug"
    required = true
  }
  label "severity" {
    severity = "bug"
    value    = "(critical|warning)"
    required = true
  }
}
