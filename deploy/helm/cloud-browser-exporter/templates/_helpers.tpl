{{- define "exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "exporter.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "exporter.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "exporter.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Not those of the Deployment: the Service would send scrapes to the pod of `helm test`. */ -}}
{{- define "exporter.testLabels" -}}
app.kubernetes.io/name: {{ include "exporter.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "exporter.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "exporter.address" -}}
{{ include "exporter.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.port }}
{{- end }}

{{- define "exporter.scheme" -}}
{{ ternary "https" "http" .Values.webConfig.tls }}
{{- end }}

{{- /* The ports of a PostgreSQL URL: of its hosts, else of the parameter `port`, which may be a list, else 5432. */ -}}
{{- define "exporter.databasePorts" -}}
{{- $given := regexFind "[?&]port=[0-9,]+" . | regexFind "[0-9,]+" | default "5432" }}
{{- $ports := list }}
{{- range regexReplaceAll "^[a-z]+://([^@/?]*@)?([^/?]*).*$" . "${2}" | splitList "," }}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default $given) }}
{{- end }}
{{- join "," $ports }}
{{- end }}

{{- define "exporter.claimName" -}}
{{ default (include "exporter.fullname" .) .Values.ledger.persistence.existingClaim }}
{{- end }}

{{- /* What the schema of the values cannot say. */ -}}
{{- define "exporter.validate" -}}
{{- if not .Values.accounts }}
{{- fail "accounts: none; name at least one, with its provider and apiKeySecret" }}
{{- end }}
{{- /* The schema's message would show the password. */ -}}
{{- if regexMatch "^[a-z]+://[^@/?]*:[^@/?]*@|[?&](ssl)?password=" .Values.ledger.postgresql.url }}
{{- fail "ledger.postgresql.url: holds a password; name a Secret in ledger.postgresql.passwordSecret" }}
{{- end }}
{{- $names := dict }}
{{- range .Values.accounts }}
{{- $name := printf "%s/%s" .provider .name }}
{{- if hasKey $names $name }}
{{- fail (printf "accounts: %s is there twice" $name) }}
{{- end }}
{{- $_ := set $names $name true }}
{{- end }}
{{- end }}

{{- /* The exporter's configuration file. Keys of the API are files, so that a rotated one is read at the next scrape. */ -}}
{{- define "exporter.config" -}}
accounts:
{{- range $index, $account := .Values.accounts }}
  - {{ omit $account "apiKeySecret" | toYaml | nindent 4 | trim }}
    api_key_file: /etc/cloud-browser-exporter/keys/{{ $account.provider }}-{{ $index }}
{{- end }}
{{- with .Values.scrape }}
scrape:
  {{- toYaml . | nindent 2 }}
{{- end }}
ledger:
  url: {{ .Values.ledger.postgresql.url | default "sqlite:////var/lib/cloud-browser-exporter/ledger.db" | quote }}
  {{- with .Values.ledger.history }}
  history: {{ . | quote }}
  {{- end }}
  {{- with .Values.ledger.settleAfter }}
  settle_after: {{ . | quote }}
  {{- end }}
{{- end }}

{{- /* How Prometheus scrapes: what ServiceMonitor and ScrapeConfig have in common. */ -}}
{{- define "exporter.access" -}}
{{- with .tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
