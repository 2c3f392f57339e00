"""How the built Bento is deployed: image, Compose, Kubernetes, and the checks of what stands there."""
