// The exporter's targets: which jobs answer, and which accounts nobody shows any more.
function(config, promql)
  local up = promql.series('cloud_browser_up');
  {
    name: 'cloud-browser-targets',
    rules: [
      {
        // A job is known by what it once exposed, whatever its name; forgotten a week after its last answer.
        record: 'job:cloud_browser_exporter_answered_timestamp_seconds:max',
        expr: |||
          0 * max by (job) (%(own)s == 1) + time()
          or 0 * max by (job) (%(build)s) + time()
          or 0 * max by (job) (%(up)s) + time()
          or max by (job) (
            last_over_time(job:cloud_browser_exporter_answered_timestamp_seconds:max[1d]) > time() - 7 * 86400
          )
        ||| % {
          own: promql.series('up', 'job="%s"' % config.job),
          build: promql.series('cloud_browser_exporter_build_info'),
          up: up,
        },
      },
      {
        // Accounts that a target showed, and that no target shows now.
        record: 'target:cloud_browser_account_missing:bool',
        expr: |||
          0 * max by (job, instance, provider, account) (last_over_time(%(up)s[12h])) + 1
          unless on (provider, account) max by (provider, account) (last_over_time(%(up)s[5m]))
        ||| % { up: up },
      },
      {
        record: 'target:cloud_browser_scrape_deadline:ratio',
        expr: |||
          max by (job, instance, provider, account) (%(took)s)
            / on (job, instance) group_left () max by (job, instance) (%(deadline)s > 0)
        ||| % {
          took: promql.series('cloud_browser_collector_duration_seconds'),
          deadline: promql.series('cloud_browser_exporter_scrape_deadline_seconds'),
        },
      },
    ],
  }
