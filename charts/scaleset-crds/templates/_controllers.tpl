{{- /* The controllers' names between the quotes of the policy's condition, which must differ from each of them. */ -}}
{{- define "scaleset.controllers" -}}
{{- prepend .Values.furtherControllerUsernames .Values.controllerUsername | uniq | join "\" && request.userInfo.username != \"" -}}
{{- end }}
