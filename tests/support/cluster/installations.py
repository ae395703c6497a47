"""A small installation in which the lint finds nothing, for tests to break in one place each."""

import json
from typing import Any

import yaml

DIGEST = "sha256:" + "0" * 64

SOUND = f"""
- apiVersion: v1
  kind: Namespace
  metadata: {{name: contender, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}
- apiVersion: v1
  kind: ConfigMap
  metadata: {{name: settings, namespace: contender}}
  data: {{CONTENDER_MLFLOW_URL: "http://mlflow:5000"}}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata: {{name: disk, namespace: contender}}
  spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
- apiVersion: v1
  kind: Service
  metadata: {{name: api, namespace: contender}}
  spec: {{selector: {{app: api}}, ports: [{{port: 8000}}]}}
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {{name: closed, namespace: contender}}
  spec: {{podSelector: {{}}, policyTypes: [Ingress, Egress]}}
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {{name: to-api, namespace: contender}}
  spec:
    podSelector: {{matchLabels: {{app: api}}}}
    ingress: [{{from: [{{podSelector: {{matchExpressions: [{{key: app, operator: In, values: [train]}}]}}}}]}}]
- apiVersion: policy/v1
  kind: PodDisruptionBudget
  metadata: {{name: api, namespace: contender}}
  spec: {{minAvailable: 1, selector: {{matchLabels: {{app: api}}}}}}
- apiVersion: autoscaling/v2
  kind: HorizontalPodAutoscaler
  metadata: {{name: api, namespace: contender}}
  spec: {{scaleTargetRef: {{kind: Deployment, name: api}}, maxReplicas: 2}}
- apiVersion: networking.k8s.io/v1
  kind: Ingress
  metadata: {{name: api, namespace: contender}}
  spec: {{rules: [{{http: {{paths: [{{backend: {{service: {{name: api}}}}}}]}}}}]}}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {{name: api, namespace: contender}}
  spec:
    template:
      metadata: {{labels: {{app: api}}}}
      spec: &pod
        automountServiceAccountToken: false
        securityContext: &user {{runAsNonRoot: true, runAsUser: 10001, seccompProfile: {{type: RuntimeDefault}}}}
        containers:
          - &container
            name: main
            image: registry.example/other:1.2@{DIGEST}
            command: [python, -m, serving]
            envFrom: [{{configMapRef: {{name: settings}}}}]
            env:
              - name: CONTENDER_DATABASE_URL
                valueFrom: {{secretKeyRef: {{name: contender-secrets, key: CONTENDER_DATABASE_URL}}}}
            resources: {{requests: {{cpu: 100m, memory: 1Mi}}, limits: {{memory: 1Mi}}}}
            securityContext: &closed
              readOnlyRootFilesystem: true
              allowPrivilegeEscalation: false
              capabilities: {{drop: [ALL]}}
            readinessProbe: {{tcpSocket: {{port: 1}}}}
            livenessProbe: {{tcpSocket: {{port: 1}}}}
            volumeMounts: [{{name: data, mountPath: /data}}]
        volumes:
          - {{name: data, persistentVolumeClaim: {{claimName: disk}}}}
          - {{name: tasks, configMap: {{name: settings, items: [{{key: CONTENDER_MLFLOW_URL, path: a}}]}}}}
- apiVersion: batch/v1
  kind: CronJob
  metadata: {{name: train, namespace: contender}}
  spec:
    schedule: "30 21 * * 1-5"
    timeZone: Etc/UTC
    concurrencyPolicy: Forbid
    startingDeadlineSeconds: 600
    successfulJobsHistoryLimit: 3
    failedJobsHistoryLimit: 3
    jobTemplate:
      spec:
        backoffLimit: 3
        activeDeadlineSeconds: 600
        ttlSecondsAfterFinished: 600
        podFailurePolicy:
          rules: [{{action: FailJob, onExitCodes: {{operator: In, values: [42, 43]}}}}]
        template:
          metadata: {{labels: {{app: train}}}}
          spec:
            restartPolicy: Never
            automountServiceAccountToken: false
            securityContext: *user
            containers: [{{<<: *container, image: "contender:0.1.0", command: [sh, -c, "python -m training"]}}]
            volumes: [{{name: data, emptyDir: {{}}}}]
- apiVersion: v1
  kind: ServiceAccount
  metadata: {{name: workflow, namespace: contender}}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: RoleBinding
  metadata: {{name: workflow, namespace: contender}}
  subjects: [{{kind: ServiceAccount, name: workflow}}]
- apiVersion: argoproj.io/v1alpha1
  kind: CronWorkflow
  metadata: {{name: stream, namespace: contender}}
  spec:
    schedules: ["* * * * *"]
    timezone: Etc/UTC
    concurrencyPolicy: Forbid
    startingDeadlineSeconds: 30
    successfulJobsHistoryLimit: 3
    failedJobsHistoryLimit: 3
    workflowSpec:
      serviceAccountName: workflow
      activeDeadlineSeconds: 300
      ttlStrategy: {{secondsAfterCompletion: 600}}
      securityContext: *user
      volumes: [{{name: data, emptyDir: {{}}}}]
      templates:
        - name: step
          retryStrategy: {{limit: 3, retryPolicy: OnFailure, expression: 'lastRetry.exitCode == "75"'}}
          container: {{<<: *container, name: main, image: "contender:0.1.0"}}
"""

Documents = list[dict[str, Any]]


def sound() -> Documents:
    """The installation, anew: no part of one is shared with another place or another test."""
    documents: Documents = json.loads(json.dumps(yaml.safe_load(SOUND)))
    return documents


def broken(path: str, value: Any = None) -> Documents:
    """The installation with one thing changed, at `Kind/name:key.key.0`; without a value it is taken away."""
    documents = sound()
    name, _, inner = path.partition(":")
    kind, _, called = name.partition("/")
    at: Any = next(d for d in documents if d["kind"] == kind and d["metadata"]["name"] == called)
    *way, last = [int(key) if key.isdigit() else key for key in inner.split(".")]
    for key in way:
        at = at[key]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return documents


def without(kind: str, name: str) -> Documents:
    """The installation without one document."""
    return [d for d in sound() if (d["kind"], d["metadata"]["name"]) != (kind, name)]
