// Draws a dashboard's committed JSON over Prometheus's answers, with the components that Grafana itself draws with.
// Those of the state timeline are in no package: `StateTimeline` below is a small drawing of our own.
import {
  createTheme,
  dateTime,
  applyFieldOverrides,
  cacheFieldDisplayNames,
  FieldConfigOptionsRegistry,
  getDisplayValueAlignmentFactors,
  getFieldDisplayName,
  getFieldDisplayValues,
  standardTransformers,
  standardTransformersRegistry,
  ThemeContext,
  transformDataFrame,
  VizOrientation,
  type DataFrame,
  type FieldDisplay,
  type TimeRange,
} from '@grafana/data';
import { BarGauge, BigValue, GlobalStyles, PanelChrome, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { firstValueFrom } from 'rxjs';
import { createRoot } from 'react-dom/client';
import { lineDefaults, prometheusFrames, type Answer } from './frames';

interface Panel {
  id: number;
  type: string;
  title: string;
  description: string;
  fieldConfig: any;
  options: any;
  targets: Array<{ refId: string; format?: string; legendFormat?: string; instant: boolean }>;
  transformations?: Array<{ id: string; options: any }>;
  gridPos: { x: number; y: number; w: number; h: number };
  panels?: Panel[];
}

interface Page {
  dashboard: { title: string; panels: Panel[] };
  answers: Record<number, { from: number; to: number; answers: Record<string, Answer> }>;
  width: number;
  caption: string;
}

const CELL = 30;
const GAP = 8;
const theme = createTheme({ colors: { mode: 'dark' } });
const asIs = (value: unknown) => value;

// Some transformations stand there under two names.
const transformers = new Map(Object.values(standardTransformers).map((one: any) => [one.id, one]));
standardTransformersRegistry.setInit(() =>
  [...transformers.values()].map((one) => ({ id: one.id, name: one.name, transformation: async () => one }) as any)
);

/** Every property that the panel sets, taken as it is: Grafana's own registry belongs to its editor. */
function registry({ defaults, overrides }: any): FieldConfigOptionsRegistry {
  const { custom = {}, ...plain } = defaults;
  const set = overrides.flatMap((one: any) => one.properties.map((property: any) => property.id));
  const ids = new Set([...Object.keys(plain), ...Object.keys(custom).map((key) => `custom.${key}`), ...set]);
  return new FieldConfigOptionsRegistry(() =>
    [...ids].map((id) => {
      const isCustom = id.startsWith('custom.');
      const path = id.replace('custom.', '');
      return { id, path, isCustom, name: id, process: asIs, shouldApply: () => true, override: () => null } as any;
    })
  );
}

/** JSON knows no infinity: Grafana sets the first step to it when it loads a panel. */
function withLowestSteps({ defaults, overrides }: any) {
  const set = overrides.flatMap((one: any) => one.properties).filter((property: any) => property.id === 'thresholds');
  for (const thresholds of [defaults.thresholds, ...set.map((property: any) => property.value)]) {
    if (thresholds) thresholds.steps[0].value = -Infinity;
  }
}

async function prepared(panel: Panel, answers: Record<string, Answer>): Promise<[DataFrame[], any]> {
  let frames = prometheusFrames(panel.targets, answers);
  let fieldConfig = panel.fieldConfig;
  withLowestSteps(fieldConfig);
  if (panel.type === 'timeseries') {
    fieldConfig = { ...fieldConfig, defaults: lineDefaults(fieldConfig.defaults) };
  }
  if (panel.transformations) {
    frames = await firstValueFrom(transformDataFrame(panel.transformations, frames));
  }
  const fieldConfigRegistry = registry(fieldConfig);
  const replaceVariables = (text: string) => text;
  const data = applyFieldOverrides({ data: frames, fieldConfig, fieldConfigRegistry, theme, replaceVariables, timeZone: 'utc' });
  cacheFieldDisplayNames(data);
  return [data, fieldConfig];
}

function values(panel: Panel, data: DataFrame[], fieldConfig: any): FieldDisplay[] {
  const { reduceOptions, graphMode } = panel.options;
  const sparkline = graphMode === 'area';
  return getFieldDisplayValues({ data, fieldConfig, reduceOptions, sparkline, theme, replaceVariables: (text) => text, timeZone: 'utc' });
}

interface Drawing {
  panel: Panel;
  data: DataFrame[];
  fieldConfig: any;
  timeRange: TimeRange;
  width: number;
  height: number;
}

function Stat({ panel, data, fieldConfig, width, height }: Drawing) {
  const { colorMode, graphMode, justifyMode, textMode, wideLayout } = panel.options;
  return (
    <VizRepeater
      source={data}
      getValues={() => values(panel, data, fieldConfig)}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, alignmentFactors, count, width, height }: any) => (
        <BigValue
          {...{ colorMode, graphMode, justifyMode, textMode, wideLayout, alignmentFactors, count, width, height, theme }}
          value={value.display}
          text={panel.options.text}
          sparkline={value.sparkline}
        />
      )}
      orientation={panel.options.orientation ?? VizOrientation.Auto}
      {...{ width, height, renderCounter: 0, autoGrid: true }}
    />
  );
}

function Bars({ panel, data, fieldConfig, width, height }: Drawing) {
  const { displayMode, showUnfilled, valueMode, namePlacement, minVizHeight = 16, maxVizHeight = 300 } = panel.options;
  return (
    <VizRepeater
      source={data}
      getValues={() => values(panel, data, fieldConfig)}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, alignmentFactors, width, height }: any) => (
        <BarGauge
          {...{ width, height, theme, alignmentFactors, displayMode, showUnfilled, namePlacement }}
          value={value.display}
          field={value.field}
          display={value.view?.getFieldDisplayProcessor(value.colIndex)}
          orientation={VizOrientation.Horizontal}
          text={panel.options.text}
          valueDisplayMode={valueMode}
          itemSpacing={8}
          lcdCellWidth={12}
        />
      )}
      orientation={VizOrientation.Horizontal}
      {...{ width, height, minVizHeight, maxVizHeight, itemSpacing: 8, renderCounter: 0 }}
    />
  );
}

function StateTimeline({ data, timeRange, width, height }: Drawing) {
  const begin = timeRange.from.valueOf();
  const scale = (time: number) => ((time - begin) / (timeRange.to.valueOf() - begin)) * (width - 180);
  const rows = data.flatMap((frame) =>
    frame.fields.slice(1).map((field) => ({ field, times: frame.fields[0].values, name: getFieldDisplayName(field, frame, data) }))
  );
  const row = (height - 18) / Math.max(1, rows.length);
  const ticks = [0, 1, 2, 3, 4, 5, 6].map((part) => begin + ((timeRange.to.valueOf() - begin) * part) / 6);
  return (
    <svg width={width} height={height} fontSize={12} fill={theme.colors.text.primary}>
      {rows.map(({ field, times, name }, place) => (
        <g key={place} transform={`translate(0 ${place * row})`}>
          <text x={168} y={row / 2 + 4} textAnchor="end">{name}</text>
          {field.values.map((value, at) => {
            const step = times[1] - times[0] || 60_000;
            const span = scale(begin + step) + 0.5;
            return value == null || <rect key={at} x={172 + scale(times[at])} y={2} width={span} height={row - 4} fill={field.display!(value).color} fillOpacity={0.7} />;
          })}
        </g>
      ))}
      {ticks.map((tick) => (
        <text key={tick} x={Math.min(172 + scale(tick), width - 16)} y={height - 3} textAnchor="middle" fill={theme.colors.text.secondary}>
          {dateTime(tick).utc().format('HH:mm')}
        </text>
      ))}
    </svg>
  );
}

function Table({ panel, data, fieldConfig, timeRange, width, height }: Drawing) {
  const { cellHeight, sortBy } = panel.options;
  const { noValue } = fieldConfig.defaults;
  return <TableNG data={data[0]} {...{ width, height, cellHeight, sortBy, noValue, fieldConfig, timeRange }} />;
}

function Graph({ panel, data, timeRange, width, height }: Drawing) {
  return <TimeSeries frames={data} legend={panel.options.legend} timeZone="utc" {...{ timeRange, width, height }} />;
}

const KINDS: Record<string, (drawing: Drawing) => any> = {
  stat: Stat,
  bargauge: Bars,
  table: Table,
  timeseries: Graph,
  'state-timeline': StateTimeline,
};

function Content(drawing: Drawing) {
  const { panel, data, fieldConfig, width, height } = drawing;
  const empty = !data.some((frame) => frame.length > 0);
  if (panel.type === 'text') {
    return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: panel.options.content }} />;
  }
  if (empty && panel.type !== 'stat' && panel.type !== 'bargauge') {
    const style = { width, height, display: 'grid', placeItems: 'center', color: theme.colors.text.secondary };
    return <div style={style}>{fieldConfig.defaults.noValue ?? 'No data'}</div>;
  }
  const Kind = KINDS[panel.type];
  return <Kind {...drawing} />;
}

function Cell({ panel, data, fieldConfig, page }: { panel: Panel; data: DataFrame[]; fieldConfig: any; page: Page }) {
  const { x, y, w, h } = panel.gridPos;
  const column = (page.width - 2 * GAP + GAP) / 24;
  const place = { left: GAP + x * column, top: 44 + y * (CELL + GAP), width: w * column - GAP, height: h * (CELL + GAP) - GAP };
  if (panel.type === 'row') {
    const count = panel.panels?.length ? `  (${panel.panels.length} panels)` : '';
    return <div style={{ position: 'absolute', ...place, fontWeight: 500 }}>{panel.panels?.length ? '▸' : '▾'} {panel.title}{count}</div>;
  }
  const { from, to } = page.answers[panel.id];
  const timeRange = { from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } };
  return (
    <div style={{ position: 'absolute', ...place }}>
      <PanelChrome title={panel.title} description={panel.description} width={place.width} height={place.height}>
        {(width, height) => <Content {...{ panel, data, fieldConfig, timeRange, width, height }} />}
      </PanelChrome>
    </div>
  );
}

async function draw() {
  const page: Page = await (await fetch('page.json')).json();
  const cells = await Promise.all(
    page.dashboard.panels.map(async (panel) => {
      const [data, fieldConfig] = panel.type === 'row' ? [[], {}] : await prepared(panel, page.answers[panel.id].answers);
      return <Cell key={panel.id} {...{ panel, data, fieldConfig, page }} />;
    })
  );
  createRoot(document.getElementById('root')!).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ position: 'absolute', left: GAP, top: 10, fontSize: 16 }}>{page.dashboard.title}</div>
      <div style={{ position: 'absolute', right: GAP, top: 13, fontSize: 12, color: theme.colors.text.secondary }}>{page.caption}</div>
      {cells}
    </ThemeContext.Provider>
  );
}

draw();
