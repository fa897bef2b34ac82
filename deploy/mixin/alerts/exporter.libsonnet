// The exporter itself: its targets, ledger, configuration and imports.
function(config, promql, alert)
  local who = '{{ $labels.provider }} account {{ $labels.account }}';
  local own = promql.series('up', 'job="%s"' % config.job), up = promql.series('up');
  local answered = 'job:cloud_browser_exporter_answered_timestamp_seconds:max';
  local missing = 'target:cloud_browser_account_missing:bool';
  local history(metric) = promql.highest('last_over_time(%s[5m])' % promql.series(metric));
  {
    name: 'cloud-browser-exporter-alerts',
    rules: [
      alert('ExporterGone', 'critical', '5m', |||
        (
          (%(answered)s < time() - 300 or max by (job) (max_over_time(%(own)s[5m])) == 0)
          unless on () max(%(answered)s) > time() - 120
        )
        or (%(answered)s < time() - 300 and on (job) %(missing)s)
        or (
          max by (job, instance) (%(up)s) == 0
          and on (job, instance) %(missing)s
          unless on (job) %(answered)s < time() - 300
        )
      ||| % { answered: answered, own: own, up: up, missing: missing }, 'The exporter of cloud browsers is gone', |||
        Prometheus gets no answer from {{ if $labels.instance }}{{ $labels.instance }}{{ else }}job {{ $labels.job
        }}{{ end }}, and no other target shows its accounts: no alert about their sessions, errors or spending can
        fire.
      |||, 'exporter'),
      alert('ReplicaGone', 'warning', '15m', |||
        (
          max by (job, instance) (%(own)s) == 0
          or max by (job, instance) (%(up)s) == 0
            and on (job, instance) last_over_time(%(accounts)s[12h])
        )
        and on () max(%(answered)s) > time() - 120
        unless on (job, instance) %(missing)s
      ||| % {
        answered: answered,
        own: own,
        up: up,
        missing: missing,
        accounts: promql.series('cloud_browser_up'),
      }, '{{ $labels.instance }} does not answer, another replica does', |||
        Prometheus gets no answer from {{ $labels.instance }}. Other targets show its accounts.
      |||, 'exporter'),
      alert('LedgerLost', 'warning', '1m', |||
        account:cloud_browser_ledger_lost:resets6h > 0
        or on (provider, account) (
          %s == 0
          and on (provider, account) %s == 1
        )
      ||| % [
        history('cloud_browser_history_complete'),
        promql.highest('max_over_time(%s[6h])' % promql.series('cloud_browser_history_complete')),
      ], 'The ledger is lost: ' + who, |||
        The account's counters fell, which they never do while the ledger is kept. What is imported again is not
        spent again: alerts on spend by the hour ignore this account for an hour, and those by the month for a day.
      |||, 'spend'),
      alert('LedgerNotWritable', 'critical', '10m', |||
        sum by (job, instance) (increase(%s[5m])) > 0
        or
        sum by (job, instance) (increase(%s[5m])) > 0
      ||| % [
        promql.series('cloud_browser_exporter_ledger_write_errors_total'),
        promql.series('cloud_browser_exporter_errors_total', 'reason="ledger"'),
      ], '{{ $labels.instance }} cannot write its ledger', |||
        Counters stand still at what was last made durable. Nothing is lost yet: what happens is counted when the
        ledger can be written again, if the sessions are still listed then.
      |||, 'exporter'),
      alert('HistoryImportStuck', 'warning', '1h', |||
        %(complete)s == 0
        unless on (provider, account)
          min by (provider, account) (min_over_time(%(remaining)s[30m]))
            < min by (provider, account) (min_over_time(%(remaining)s[30m] offset 30m))
        unless on (provider, account) account:cloud_browser_account_state:code == 2
      ||| % {
        complete: history('cloud_browser_history_complete'),
        remaining: promql.series('cloud_browser_history_remaining_sessions'),
      }, 'The first import stands still: ' + who, |||
        The account's counters are absent until all of its history is read, and for half an hour nothing more was.
      |||, 'exporter'),
      alert('SessionsRejected', 'warning', '30m', |||
        %s > 0
      ||| % promql.highest(
        'sum without (reason) (increase(%s[15m]))'
        % promql.series('cloud_browser_exporter_rejected_sessions_total', 'reason!="field"')
      ), 'Rows of {{ $labels.provider }}/{{ $labels.account }} are left out', |||
        Some rows of the provider's list cannot be used, at each scrape. Their sessions are not counted. The API may
        have changed.
      |||, 'exporter'),
      alert('ScrapeSlow', 'warning', '5m', |||
        min_over_time(target:cloud_browser_scrape_deadline:ratio[10m])
          > %s
      ||| % promql.limit('scrape_deadline_ratio'), 'Scrapes take {{ $value | humanizePercentage }} of their deadline: ' + who, |||
        Every scrape of the last ten minutes by {{ $labels.instance }} came near the deadline, which is Prometheus's
        scrape_timeout less the offset. If they get slower, they will time out, and the account will show as down.
      |||, 'exporter'),
      alert('ConfigReloadFailed', 'warning', '5m', |||
        max by (job, instance) (max_over_time(%s[5m])) == 0
      ||| % promql.series('cloud_browser_exporter_config_last_reload_successful'), '{{ $labels.instance }} runs on an old configuration', |||
        The last reload was refused, and the configuration before it is still in force. A restart would fail.
      |||, 'exporter'),
    ],
  }
