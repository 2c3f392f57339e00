"""What a request is known by on its way: keys of the ASGI scope, set where it is found and read by logs."""

REQUEST_ID = "propensity.request_id"
"""What the request is called."""

CALLER = "propensity.caller"
"""Who calls."""

DISBELIEF = "propensity.disbelief"
"""Why the token was not believed."""

MODEL = "propensity.model"
"""Tag of the model that was asked."""

ROWS = "propensity.rows"
"""About how many applications it was asked."""

PROBLEM = "propensity.problem"
"""The kind of problem that the request is answered with."""
