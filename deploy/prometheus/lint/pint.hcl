# What pint is to hold of the rules; without a server to ask, its other checks are left to tests/test_rules.py.
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
  annotation "runbook" {
    severity = "bug"
    required = true
  }
  label "severity" {
    severity = "bug"
    value    = "(critical|warning)"
    required = true
  }
}
rule {
  match {
    kind = "recording"
  }
  aggregate ".+" {
    severity = "bug"
    keep     = ["job", "instance"]
  }
}
