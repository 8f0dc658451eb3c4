{{- define "scaleset.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- /* A release whose name begins or holds the chart's does not say it twice: release `scaleset` is `scaleset-controller`. */ -}}
{{- define "scaleset.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "scaleset.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else if hasPrefix (printf "%s-" .Release.Name) (include "scaleset.name" .) -}}
{{- include "scaleset.name" . -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "scaleset.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "scaleset.hardware.fullname" -}}
{{- include "scaleset.fullname" . }}-hardware
{{- end }}

{{- define "scaleset.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "scaleset.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name must name an account where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "scaleset.hardware.serviceAccountName" -}}
{{- if .Values.hardware.serviceAccount.create -}}
{{- default (include "scaleset.hardware.fullname" .) .Values.hardware.serviceAccount.name -}}
{{- else -}}
{{- required "hardware.serviceAccount.name must name an account where hardware.serviceAccount.create is false" .Values.hardware.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- /* Labels by which pods are chosen: they never change, a Deployment's selector cannot. Takes (list $ component). */ -}}
{{- define "scaleset.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "scaleset.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "scaleset.labels" -}}
{{- $root := index . 0 -}}
{{ include "scaleset.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name ($root.Chart.Version | replace "+" "_") }}
{{- end }}

{{- define "scaleset.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "scaleset.hardware.url" -}}
{{- if .Values.hardware.url -}}
{{- .Values.hardware.url -}}
{{- else if .Values.hardware.enabled -}}
{{- $scheme := .Values.hardware.tls.secretName | empty | ternary "http" "https" -}}
{{- printf "%s://%s.%s.svc:%d" $scheme (include "scaleset.hardware.fullname" .) .Release.Namespace (int .Values.hardware.service.port) -}}
{{- else -}}
{{- fail "hardware.url must name the hardware where hardware.enabled is false" -}}
{{- end -}}
{{- end }}

{{- /* Whom tokens for the hardware are meant for: one of another release is worth nothing here. */ -}}
{{- define "scaleset.hardware.audience" -}}
{{- printf "%s.%s" (include "scaleset.hardware.fullname" .) .Release.Namespace -}}
{{- end }}

{{- /* What the controller shows and the hardware lets in, where both have it from a Secret. */ -}}
{{- define "scaleset.hardware.tokenVolume" -}}
- name: hardware-token
  secret:
    secretName: {{ .Values.hardware.tokenSecretName }}
    items: [{key: token, path: token}]
{{- end }}

{{- /* The port of the hardware, for a policy that narrows where the controller may connect to. */ -}}
{{- define "scaleset.hardware.port" -}}
{{- $url := urlParse (include "scaleset.hardware.url" .) -}}
{{- $named := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- default (eq $url.scheme "https" | ternary "443" "80") $named -}}
{{- end }}
