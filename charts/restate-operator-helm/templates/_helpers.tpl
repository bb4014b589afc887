{{/*
Names. <name> is the services', <name>-watcher and <name>-bootstrap are the other two identities'.
*/}}
{{- define "operator.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end }}

{{- define "operator.watcherName" -}}
{{- include "operator.name" . }}-watcher
{{- end }}

{{- define "operator.bootstrapName" -}}
{{- include "operator.name" . }}-bootstrap
{{- end }}

{{- define "operator.requestIdentitySecret" -}}
{{- default (printf "%s-request-identity" (include "operator.name" .)) .Values.bootstrap.requestIdentitySecret -}}
{{- end }}

{{/*
Labels of an object that belongs to the identity `name`. Call with (list . "<name>").

`app` alone selects pods: a Deployment's selector cannot change, and installations of earlier operators of
this name select by it.
*/}}
{{- define "operator.selectorLabels" -}}
app: {{ last . }}
{{- end }}

{{- define "operator.labels" -}}
{{- $root := first . -}}
{{ include "operator.selectorLabels" . }}
app.kubernetes.io/name: {{ last . }}
app.kubernetes.io/part-of: {{ include "operator.name" $root }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/*
Labels of a pod: no version, so that an upgrade of the chart alone restarts nothing.
*/}}
{{- define "operator.podLabels" -}}
{{ include "operator.selectorLabels" . }}
app.kubernetes.io/name: {{ last . }}
app.kubernetes.io/part-of: {{ include "operator.name" (first .) }}
{{- end }}

{{- define "operator.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.version }}
{{- end }}

{{- define "operator.clusterDns" -}}
{{- default "cluster.local" .Values.clusterDns -}}
{{- end }}

{{/*
The bare level of a filter such as info,restate=debug.
*/}}
{{- define "operator.logLevel" -}}
{{- $level := "" -}}
{{- range splitList "," .Values.logging.env_filter -}}
{{- $directive := trim . -}}
{{- if and (not $level) (not (contains "=" $directive)) -}}
{{- $level = $directive -}}
{{- end -}}
{{- end -}}
{{- eq $level "off" | ternary "silent" $level -}}
{{- end }}

{{/*
URLs, none with a trailing slash.
*/}}
{{- define "operator.bootstrapHost" -}}
{{ include "operator.bootstrapName" . }}.{{ .Release.Namespace }}.svc.{{ include "operator.clusterDns" . }}
{{- end }}

{{- define "operator.bootstrapIngressUrl" -}}
{{- if .Values.bootstrap.enabled -}}
http://{{ include "operator.bootstrapHost" . }}:8080
{{- else -}}
{{ trimSuffix "/" .Values.bootstrap.ingressUrl }}
{{- end -}}
{{- end }}

{{- define "operator.bootstrapAdminUrl" -}}
{{- if .Values.bootstrap.enabled -}}
http://{{ include "operator.bootstrapHost" . }}:9070
{{- else -}}
{{ trimSuffix "/" .Values.bootstrap.adminUrl }}
{{- end -}}
{{- end }}

{{- define "operator.servicesUrl" -}}
{{- if and (not .Values.bootstrap.enabled) .Values.bootstrap.servicesUrl -}}
{{ trimSuffix "/" .Values.bootstrap.servicesUrl }}
{{- else -}}
http://{{ include "operator.name" . }}.{{ .Release.Namespace }}.svc.{{ include "operator.clusterDns" . }}:9080
{{- end -}}
{{- end }}

{{- define "operator.hasAuthToken" -}}
{{- if and (not .Values.bootstrap.enabled) .Values.bootstrap.authTokenSecret.name }}true{{ end -}}
{{- end }}

{{/*
What services and watcher have in common.
*/}}
{{- define "operator.commonEnv" -}}
- name: OPERATOR_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: OPERATOR_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: OPERATOR_POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
- name: LOG_LEVEL
  value: {{ include "operator.logLevel" . }}
- name: HEALTH_PORT
  value: "8080"
- name: BOOTSTRAP_INGRESS_URL
  value: {{ include "operator.bootstrapIngressUrl" . | quote }}
{{- if include "operator.hasAuthToken" . }}
- name: BOOTSTRAP_AUTH_TOKEN_FILE
  value: /bootstrap-token/token
{{- end }}
{{- end }}

{{/*
Which clouds give clusters an identity: the services carry it out, the watcher watches for it.
*/}}
{{- define "operator.cloudEnv" -}}
{{- with .Values.awsPodIdentityAssociationCluster -}}
- name: AWS_POD_IDENTITY_ASSOCIATION_CLUSTER
  value: {{ . | quote }}
{{ end -}}
{{- if .Values.gcpWorkloadIdentity -}}
- name: GCP_WORKLOAD_IDENTITY
  value: "true"
{{- end -}}
{{- end }}

{{- define "operator.cloudIdentities" -}}
{{- if or .Values.awsPodIdentityAssociationCluster .Values.gcpWorkloadIdentity }}true{{ end -}}
{{- end }}

{{/*
A variable of `env`; empty when it is not there. Call with (list . "<NAME>").
*/}}
{{- define "operator.env" -}}
{{- $name := last . -}}
{{- range (first .).Values.env -}}
{{- if eq .name $name }}{{ .value }}{{ end -}}
{{- end -}}
{{- end }}

{{/*
Kinds that clusters may use wherever they are installed: granted when the value says so, or when it says nothing and the kind
is there.
*/}}
{{- define "operator.managesSecurityGroupPolicies" -}}
{{- $asked := toString .Values.securityGroupPolicies -}}
{{- if or (eq $asked "true") (and (ne $asked "false") (.Capabilities.APIVersions.Has "vpcresources.k8s.aws/v1beta1/SecurityGroupPolicy")) }}true{{ end -}}
{{- end }}

{{- define "operator.managesSecretProviderClasses" -}}
{{- $asked := toString .Values.secretProviderClasses -}}
{{- $off := or (eq $asked "false") (eq (include "operator.env" (list . "MANAGE_SECRET_PROVIDER_CLASSES")) "false") -}}
{{- if and (not $off) (or (eq $asked "true") (.Capabilities.APIVersions.Has "secrets-store.csi.x-k8s.io/v1/SecretProviderClass")) }}true{{ end -}}
{{- end }}

{{- define "operator.authTokenVolume" -}}
- name: bootstrap-token
  secret:
    secretName: {{ .Values.bootstrap.authTokenSecret.name }}
    # 0440, as decimals because YAML readers differ about octals
    defaultMode: 288
    items:
      - key: {{ .Values.bootstrap.authTokenSecret.key }}
        path: token
{{- end }}

{{- define "operator.authTokenMount" -}}
- name: bootstrap-token
  mountPath: /bootstrap-token
  readOnly: true
{{- end }}

{{- define "operator.requestIdentityVolume" -}}
- name: request-identity
  secret:
    secretName: {{ include "operator.requestIdentitySecret" . }}
    # 0440, as decimals because YAML readers differ about octals
    defaultMode: 288
    items:
      - key: private.pem
        path: private.pem
{{- end }}

{{/*
Probes of a services or watcher container. /health: the process serves, nothing more, because a restart cures
neither a missing CRD nor an unreachable Restate. /ready says what is missing.
*/}}
{{- define "operator.probes" -}}
livenessProbe:
  httpGet:
    path: /health
    port: http
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /ready
    port: http
  periodSeconds: 2
  timeoutSeconds: 2
{{- end }}

{{/*
Where pods run. Call with the map that holds affinity, nodeSelector and tolerations.
*/}}
{{- define "operator.placement" -}}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
