"""The compiled form as a runtime of MLServer's."""

from __future__ import annotations

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from load_tests.compare.peers import compiled_model


class Compiled(MLModel):
    """Predicts a tensor a column."""

    async def load(self) -> bool:
        """The model is there once its module is."""
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The propensity of each row."""
        propensities = compiled_model.of_columns({each.name: each.data.root for each in payload.inputs})
        output = ResponseOutput(
            name="propensities", shape=[len(propensities), 1], datatype="FP64", data=propensities
        )
        return InferenceResponse(model_name=self.name, outputs=[output])
