// What a committed dashboard may contain: Grafana's published types, and the options of the panels that are used.
// The package publishes no type of a Prometheus query or annotation; those here name the fields that are used.
import type { GraphFieldConfig, TableFieldOptions } from '@grafana/schema';
import type { AnnotationQuery, Dashboard } from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen';
import type { Options as BarGauge } from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type { Options as Stat } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type {
  FieldConfig as StateFieldConfig,
  Options as StateTimeline,
} from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type { Options as Table } from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type { Options as Text } from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import type { Options as TimeSeries } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

interface Input {
  name: string;
  label: string;
  description: string;
  type: 'datasource';
  pluginId: string;
  pluginName: string;
}

interface Requirement {
  type: 'grafana' | 'panel' | 'datasource';
  id: string;
  name: string;
  version: string;
}

interface Annotation extends AnnotationQuery {
  expr: string;
  step?: string;
  tagKeys?: string;
  titleFormat?: string;
  textFormat?: string;
  useValueForTime?: boolean;
}

export interface Exported extends Omit<Dashboard, 'annotations'> {
  __inputs: Input[];
  __requires: Requirement[];
  annotations: { list: Annotation[] };
}

export interface Query {
  datasource: { type: 'prometheus'; uid: string };
  exemplar?: boolean;
  expr: string;
  format?: 'time_series' | 'table';
  instant: boolean;
  interval?: string;
  intervalFactor?: number;
  legendFormat?: string;
  range: boolean;
  refId: string;
}

// The options and the custom field options of each kind of panel.
export interface Kinds {
  bargauge: { options: Partial<BarGauge>; custom: {} };
  stat: { options: Partial<Stat>; custom: {} };
  'state-timeline': { options: Partial<StateTimeline>; custom: Partial<StateFieldConfig> };
  table: { options: Partial<Table>; custom: Partial<TableFieldOptions> };
  text: { options: Partial<Text>; custom: {} };
  timeseries: { options: Partial<TimeSeries>; custom: Partial<GraphFieldConfig> };
}
