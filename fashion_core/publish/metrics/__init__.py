"""What was measured, for other tools: CSV, Parquet, TensorBoard, MLflow.

``rows`` is the one reader: a row for each optimizer step and for each epoch. A resumed run is a run of its own whose
steps go on from its checkpoint's, so that its curve begins where its parent's had got to. ``tables``, ``tensorboard``
and ``mlflow_runs`` write them; ``mlflow_client`` runs in a process of its own, in any Python that has MLflow.
"""
