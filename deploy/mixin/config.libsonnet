// What users change. Durations are seconds, ratios are from 0 to 1.
{
  _config+:: {
    // Matchers that every series of the exporter has, such as 'cluster="eu"'. Empty: all of them.
    selector: '',

    // The job under which Prometheus scrapes the exporter. Jobs of other names are known by the exporter's metrics;
    // this name is for a target that has never answered.
    job: 'cloud-browser-exporter',

    // Target labels in which replicas, or two jobs that scrape one exporter, differ. The maximum over them is taken
    // before any sum. A label of sessions (`metadata_labels`) must not be among them.
    replicaLabels: ['job', 'instance', 'replica', 'pod', 'container', 'endpoint'],

    // The bases of runbook_url, a page of the project's documentation, and of dashboard_url.
    runbookUrl: 'https://cloud-browser-exporter.github.io/cloud-browser-exporter/docs/runbooks/',
    grafanaUrl: 'https://grafana.example.com',

    // Statuses of sessions that are open, of all providers.
    openStatuses: ['pending', 'running', 'active'],

    // The default of every limit that is an account's. An account's own takes precedence: see docs/alerts.md.
    limits: {
      error_ratio_fast: 0.5,  // share of the sessions that ended in ten minutes
      error_ratio_slow: 0.1,  // the same over six hours, and over half an hour
      timeout_ratio_fast: 0.5,
      timeout_ratio_slow: 0.1,
      failures_fast: 5,  // the fewest failures in ten minutes for which a ratio means anything
      failures_slow: 10,  // the same in six hours
      sessions_started_usual: 10,  // in an hour of yesterday and of last week, for none to be news
      session_age_seconds: 5 * 3600,  // Browserbase ends a session after six hours at most
      open_sessions: 200,
      short_session_ratio: 0.5,  // share of an hour's sessions that ran for ten seconds at most
      short_sessions: 5,  // the fewest of them that matter
      budget_usd_per_hour: 50,
      budget_usd_per_month: 10000,  // of 30 days
      spend_growth: 3,  // times the usual
      spend_least_usd_per_hour: 5,
      traffic_growth: 5,
      traffic_least_bytes_per_hour: 1e9,
      quota_ratio: 0.9,
      unlisted_sessions: 10,  // counted against the quota, but not listed
      credit_hours_warning: 12,
      credit_hours_critical: 3,
      scrape_deadline_ratio: 0.8,
      slo_objective: 0.95,  // share of sessions that end without error and timeout
    },

    // Defaults that differ for a provider.
    providerLimits: {
      browser_use: { session_age_seconds: 3.5 * 3600 },  // it ends a session after four hours at most
    },

    // Limits over all accounts.
    totalLimits: {
      total_budget_usd_per_hour: 200,
      total_budget_usd_per_month: 40000,
    },
  },
}
