// Expressions in which replicas are one: the maximum over their labels is taken before any sum.
function(config) {
  local replicas = std.join(', ', config.replicaLabels),
  local account = 'provider, account',

  // A selector with the matchers that all series have.
  series(metric, matchers='')::
    local all = std.filter(function(one) one != '', [matchers, config.selector]);
    metric + (if all == [] then '' else '{%s}' % std.join(',', all)),

  // A sum of gauges or of counters now; a missing scrape or two change nothing.
  now(metric, matchers='', by=account)::
    'sum by (%s) (max without (%s) (last_over_time(%s[5m])))' % [by, replicas, self.series(metric, matchers)],

  // A sum of counters, as it is scraped: for windows of a subquery, which see gaps by themselves.
  counted(metric, matchers='', by=account)::
    'sum by (%s) (max without (%s) (%s))' % [by, replicas, self.series(metric, matchers)],

  // How much a sum of counters rose within a window. The sum is the account's whoever exposes it, so that a
  // new pod goes on where the old one ended. It needs no recorded history.
  rise(metric, window, step, matchers='', by=account)::
    'increase((%s)[%s:%s])' % [self.counted(metric, matchers, by), window, step],

  // The account's figure over replicas, each of which has counters of its own.
  highest(expression):: 'max by (%s) (%s)' % [account, expression],

  // An account's limit, to be compared with many series of it.
  limit(name):: 'on (%s) group_left () account:cloud_browser_limit:effective{limit="%s"}' % [account, name],

  // The largest of several series of an account; `or` alone would keep one of them.
  union(operation, parts)::
    local labelled = std.mapWithIndex(
      function(place, part) 'label_replace(%s, "part", "%d", "", "")' % [part, place], parts
    );
    '%s by (%s) (\n  %s\n)' % [operation, account, std.join('\n  or ', labelled)],
}
