"""What exporting metrics says."""

RUN_EXISTS = "{folder} holds run {run} already; choose another folder, or delete that one to write it again."
NO_TENSORBOARDX = "TensorBoard's files are written by tensorboardX, which is not installed: {command}."
NOT_A_PYTHON = "{python} can't be started as a Python: name one that has MLflow with --mlflow-python."
NO_MLFLOW = "{python} has no MLflow: `{python} -m pip install mlflow-skinny`, or name another with --mlflow-python."
MLFLOW_FAILED = "MLflow at {uri} can't take the runs: check that it runs there. It says: {reason}"
NOT_AN_ADDRESS = "MLflow is reached at an address such as http://localhost:5000, not at {uri}."
