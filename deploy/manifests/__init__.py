"""The manifests as a cluster would get them, and what is wrong with them: schemas, references, pod security.

Nothing here asks a cluster: admission, scheduling, scaling and network policies are not tried by it.
"""
