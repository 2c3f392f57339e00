"""The compiled form as a model of MLflow's, which loads it from this file."""

from __future__ import annotations

import mlflow.models
import mlflow.pyfunc

from load_tests.compare.peers import compiled_model


class Compiled(mlflow.pyfunc.PythonModel):
    """Predicts DataFrames."""

    def predict(self, context, model_input):  # MLflow reads annotations
        return compiled_model.of_columns({name: model_input[name].tolist() for name in model_input})


mlflow.models.set_model(Compiled())
