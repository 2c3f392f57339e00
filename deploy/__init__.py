"""Deployment: the service on this machine, the image, Compose, Kubernetes, and what watches over them.

`manifests/` checks what stands in `k8s/`, `image/` builds the image, the other folders are what tools read. A
Bento has none of it.
"""
