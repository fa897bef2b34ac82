// What Grafana does between Prometheus's answer and a panel: frames of data, with names from the legend.
import { FieldType, toDataFrame, type DataFrame } from '@grafana/data';

type Labels = Record<string, string>;

export interface Answer {
  times: number[];
  series: Array<{ labels: Labels; values: Array<number | null> }>;
}

interface Target {
  refId: string;
  format?: string;
  legendFormat?: string;
}

/** What Grafana's time series has where its JSON says nothing. */
export function lineDefaults(defaults: any): any {
  const custom = {
    drawStyle: 'line',
    lineInterpolation: 'linear',
    lineWidth: 1,
    fillOpacity: 0,
    showPoints: 'auto',
    spanNulls: false,
    axisPlacement: 'auto',
    stacking: { mode: 'none', group: 'A' },
    thresholdsStyle: { mode: 'off' },
    hideFrom: { viz: false, legend: false, tooltip: false },
    ...defaults.custom,
  };
  return { ...defaults, custom };
}

/** A frame for each series; one for all series of a query that is asked for as a table. */
export function prometheusFrames(targets: Target[], answers: Record<string, Answer>): DataFrame[] {
  const tables = targets.filter(({ refId, format }) => format === 'table' && answers[refId].series.length);
  return targets.flatMap((target) => {
    const answer = answers[target.refId];
    if (target.format === 'table') {
      const name = tables.length > 1 ? `Value #${target.refId}` : 'Value';
      return answer.series.length ? [table(target.refId, answer, name)] : [];
    }
    return answer.series.map(({ labels, values }) =>
      toDataFrame({
        refId: target.refId,
        fields: [
          { name: 'Time', type: FieldType.time, values: answer.times },
          { name: 'Value', type: FieldType.number, values, labels, config: { displayNameFromDS: legend(target, labels) } },
        ],
      })
    );
  });
}

function legend({ legendFormat }: Target, labels: Labels): string {
  if (!legendFormat || legendFormat === '__auto') {
    return Object.values(labels).join(' ') || 'Value';
  }
  return legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '');
}

function table(refId: string, { times, series }: Answer, name: string): DataFrame {
  const labels = [...new Set(series.flatMap((one) => Object.keys(one.labels)))].sort();
  return toDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: series.map(() => times[times.length - 1]) },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        values: series.map((one) => one.labels[label] ?? ''),
        config: { filterable: true },
      })),
      { name, type: FieldType.number, values: series.map(({ values }) => values[values.length - 1]) },
    ],
  });
}
