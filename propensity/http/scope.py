"""Keys of the ASGI scope for what becomes known of a request on its way; logs and metrics read them."""

REQUEST_ID = "propensity.request_id"
"""The id of the request."""

CALLER = "propensity.caller"
"""The name of the caller."""

DISBELIEF = "propensity.disbelief"
"""Why the token is not believed."""

MODEL = "propensity.model"
"""The tag of the model that predicts."""

ROWS = "propensity.rows"
"""The number of rows in the request."""

PROBLEM = "propensity.problem"
"""The kind of problem that the request is answered with."""
