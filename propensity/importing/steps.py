"""The steps of a pipeline: preprocessing, and the classifier at its end."""

from __future__ import annotations

from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline


def take_apart(pipeline: Any) -> tuple[list[Any], Any]:
    """Return the transformers of a fitted pipeline, and its classifier.

    Pipelines in pipelines are taken apart, too. What only chose or froze a classifier is left out, and so is
    what only draws other samples to train with, as imbalanced-learn does.
    """
    steps: list[Any] = []
    while True:
        if isinstance(pipeline, Pipeline):
            *before, pipeline = (step for _, step in pipeline.steps)
            steps += filter(_transforms, before)
        elif hasattr(pipeline, "best_estimator_"):
            pipeline = pipeline.best_estimator_
        elif isinstance(pipeline, FixedThresholdClassifier | TunedThresholdClassifierCV):
            pipeline = pipeline.estimator_
        elif isinstance(pipeline, FrozenEstimator):
            pipeline = pipeline.estimator
        else:
            return steps, pipeline


def put_together(steps: list[Any], classifier: Any) -> Any:
    """Return the pipeline of fitted steps; the classifier itself if there are none before it."""
    if not steps:
        return classifier
    return Pipeline([(f"step{place}", step) for place, step in enumerate([*steps, classifier])])


def _transforms(step: Any) -> bool:
    return step is not None and not isinstance(step, str) and not hasattr(step, "fit_resample")
