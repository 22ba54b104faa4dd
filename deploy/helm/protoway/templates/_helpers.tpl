{{/* Names and labels. `component` is core or edge; the root is `root`. */}}
{{- define "protoway.name" -}}
{{- $base := ternary .root.Release.Name (printf "%s-protoway" .root.Release.Name) (contains "protoway" .root.Release.Name) -}}
{{- printf "%s-%s" ($base | trunc 48 | trimSuffix "-") .component -}}
{{- end -}}

{{- define "protoway.selector" -}}
app.kubernetes.io/name: protoway
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "protoway.labels" -}}
{{ include "protoway.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: protoway
{{- end -}}

{{- define "protoway.image" -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}

{{/* A variable's value as text. toString would write a million as 1e+06. */}}
{{- define "protoway.text" -}}
{{- if kindIs "string" . }}{{ . | quote }}{{ else }}{{ toJson . | quote }}{{ end -}}
{{- end -}}

{{/* The settings file of the edge, with what follows from other values. */}}
{{- define "protoway.edge.settings" -}}
{{- $settings := deepCopy .Values.edge.settings -}}
{{- if and .Values.core.enabled (not (dig "upstream" "address" "" $settings)) -}}
{{- $core := include "protoway.name" (dict "root" . "component" "core") -}}
{{- $settings = mergeOverwrite $settings (dict "upstream" (dict "address" (printf "%s:50051" $core))) -}}
{{- end -}}
{{- with .Values.edge.contract -}}
{{- if .configMap -}}
{{- $file := printf "/contract/%s" .key -}}
{{- $settings = mergeOverwrite $settings (dict "contract" (dict "reflect" false "descriptor_set" $file)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* Seconds until a pod is killed: until load balancers look away, then until responses end, and a margin. */}}
{{- define "protoway.core.grace" -}}
{{- with .Values.core.settings -}}
{{- add (ceil (.drain_delay | default 0)) (ceil (dig "shutdown_grace" 5 .)) $.Values.terminationMarginSeconds -}}
{{- end -}}
{{- end -}}
{{- define "protoway.edge.grace" -}}
{{- with .Values.edge.settings.server -}}
{{- add (ceil (.drain_delay_seconds | default 0)) (ceil (dig "drain_seconds" 5 .)) $.Values.terminationMarginSeconds -}}
{{- end -}}
{{- end -}}

{{/* The files of the feed store's Secret; empty where there is no store, or no secret of it. */}}
{{- define "protoway.feedStore.keys" -}}
{{- with .Values.feedStore -}}
{{- if .url -}}
{{- range list .secret.password .secret.hash -}}
{{- if . }}
- {key: {{ . }}, path: {{ . }}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What all pods have alike, as the services of docker-compose.yml have it. */}}
{{- define "protoway.pod" -}}
enableServiceLinks: false  # its variables would be settings that nobody knows
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
topologySpreadConstraints:
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "protoway.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "protoway.container" -}}
image: {{ include "protoway.image" (dict "root" .root "image" .values.image) | quote }}
imagePullPolicy: {{ .values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources: {{- toYaml .values.resources | nindent 2 }}
{{- end -}}
