// Sessions that fail, do not start, or do not end.
function(config, promql, alert)
  local who = '{{ $labels.provider }} account {{ $labels.account }}';
  // After an outage what happened in its course is counted at once.
  local late = 'unless on (provider, account) max_over_time(account:cloud_browser_read_again:bool[12m])';

  local fast(level, status, kind) = |||
    %(level)s:cloud_browser_failures:ratio10m{status="%(status)s"}
      > %(ratio)s
    and %(level)s:cloud_browser_failures:increase10m{status="%(status)s"}
      >= %(least)s
    %(late)s
  ||| % {
    level: level,
    status: status,
    ratio: promql.limit('%s_ratio_fast' % kind),
    least: promql.limit('failures_fast'),
    late: late,
  };
  local slow(status, kind) = |||
    account:cloud_browser_failures:ratio6h{status="%(status)s"}
      > %(ratio)s
    and account:cloud_browser_failures:increase6h{status="%(status)s"}
      >= %(least)s
    and account:cloud_browser_failures:ratio30m{status="%(status)s"}
      > %(ratio)s
  ||| % {
    status: status,
    ratio: promql.limit('%s_ratio_slow' % kind),
    least: promql.limit('failures_slow'),
  };
  // By region, in the words of the notification.
  local where(status) =
    'By region: {{ range printf "topk(5, region:cloud_browser_failures:increase10m{provider=%q,account=%q,status=%q} > 0)"'
    + ' $labels.provider $labels.account "' + status
    + '" | query }}{{ .Labels.region }} {{ .Value | printf "%.0f" }}; {{ end }}';
  local share = '{{ $value | humanizePercentage }} of sessions ';
  {
    name: 'cloud-browser-session-alerts',
    rules: [
      alert('ErrorRatioHigh', 'critical', '1m', fast('account', 'error', 'error'), share + 'fail: ' + who, |||
        Of the sessions that ended in the last ten minutes, {{ $value | humanizePercentage }} ended in an error.
        %s
      ||| % where('error'), 'errors'),
      alert(
        'RegionErrorRatioHigh',
        'critical',
        '1m',
        fast('region', 'error', 'error') + 'unless on (provider, account) (\n  %s)\n'
                                           % std.strReplace(fast('account', 'error', 'error'), '\n', '\n  '),
        share + 'fail in {{ $labels.region }}: ' + who,
        |||
          Of the sessions that ended in the last ten minutes in region {{ $labels.region }}, {{ $value |
          humanizePercentage }} ended in an error. The account as a whole fails less.
        |||,
        'errors'
      ),
      alert('ErrorRatioElevated', 'warning', '5m', slow('error', 'error'), share + 'have failed for hours: ' + who, |||
        Of the sessions that ended in the last six hours, {{ $value | humanizePercentage }} ended in an error, and
        the last half hour was no better.
      |||, 'errors'),
      alert('TimeoutRatioHigh', 'warning', '1m', fast('account', 'timed_out', 'timeout'), share + 'time out: ' + who, |||
        Of the sessions that ended in the last ten minutes, {{ $value | humanizePercentage }} ran into their timeout:
        hung, or forgotten by their owner. %s
      ||| % where('timed_out'), 'errors'),
      alert(
        'TimeoutRatioElevated',
        'warning',
        '5m',
        slow('timed_out', 'timeout'),
        share + 'have timed out for hours: ' + who,
        |||
          Of the sessions that ended in the last six hours, {{ $value | humanizePercentage }} ran into their timeout,
          and the last half hour was no better.
        |||,
        'errors'
      ),
      alert('SessionsTooShort', 'warning', '15m', |||
        account:cloud_browser_short_sessions:ratio1h
          > %s
        and account:cloud_browser_short_sessions:increase1h
          >= %s
      ||| % [promql.limit('short_session_ratio'), promql.limit('short_sessions')], share + 'end within seconds: ' + who, |||
        Of the sessions that ended in the last hour, {{ $value | humanizePercentage }} ran for ten seconds at most.
        Browsers are probably started and lost before they do anything.
      |||, 'errors'),
      alert('NoSessionsStarted', 'warning', '10m', |||
        account:cloud_browser_sessions_started:increase1h == 0
        and on (provider, account) (
          account:cloud_browser_sessions_started:increase1h offset 1d
            >= %(usual)s
        )
        and on (provider, account) (
          account:cloud_browser_sessions_started:increase1h offset 1w
            >= %(usual)s
        )
        and on (provider, account) %(read)s == 1
      ||| % {
        usual: promql.limit('sessions_started_usual'),
        read: promql.highest('max_over_time(%s[10m])' % promql.series('cloud_browser_up')),
      }, 'No session was started for an hour: ' + who, |||
        In this hour of yesterday and of a week ago there were sessions. The account is read all the while, so
        whoever starts them has stopped, or is refused.
      |||, 'overview'),
      alert('SessionOpenTooLong', 'warning', '10m', |||
        account:cloud_browser_session_age_seconds:max
          > %(limit)s
        unless on (provider, account) (
          account:cloud_browser_keep_alive_sessions:sum > 0
          unless on (provider, account) account:cloud_browser_session_age_seconds:bound
            > %(limit)s
        )
      ||| % { limit: promql.limit('session_age_seconds') }, 'A session is open for {{ $value | humanizeDuration }}: ' + who, |||
        It was started {{ $value | humanizeDuration }} ago and costs money until somebody ends it. Sessions that are
        kept alive on purpose do not count.
      |||, 'overview'),
      alert('TooManyOpenSessions', 'warning', '15m', |||
        account:cloud_browser_sessions_open:sum
          > %s
      ||| % promql.limit('open_sessions'), '{{ $value }} sessions are open: ' + who, |||
        More sessions are open than the account's limit allows. Each costs money until somebody ends it.
      |||, 'overview'),
      alert('QuotaNearlyUsed', 'warning', '15m', |||
        project:cloud_browser_quota_sessions:ratio
          > %s
      ||| % promql.limit('quota_ratio'), '{{ $value | humanizePercentage }} of the session quota is used: ' + who, |||
        Sessions of project {{ $labels.project }} have nearly used up the plan's limit. Above it the provider refuses
        new ones.
      |||, 'overview'),
      alert('QuotaUnlistedSessions', 'warning', '30m', |||
        account:cloud_browser_quota_sessions:unlisted
          > %s
      ||| % promql.limit('unlisted_sessions'), '{{ $value }} sessions use the quota and are not listed: ' + who, |||
        The provider counts more open sessions against the plan's limit than it lists. Slots are held by sessions
        that nobody can see or end.
      |||, 'overview'),
    ],
  }
