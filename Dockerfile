# How to run it: docs/deploy.md. For CUDA, build with --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130
FROM python:3.13-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

# torch first: this layer, which is gigabytes with CUDA, is made anew only when requirements.txt changes.
WORKDIR /src
COPY requirements.txt ./
RUN grep -E '^torch(vision)?[<>=]' requirements.txt > torch.txt \
    && python -m pip install --index-url "$TORCH_INDEX" -r torch.txt
COPY . .
RUN python -m pip install .

# Runs and data; whoever the container runs as may write there. The login's secrets are read in /app/.streamlit.
RUN mkdir -m 1777 /data
VOLUME /data
WORKDIR /app
ENV FASHION_RUNS=/data/runs FASHION_DATA=/data/data HOME=/data USER=fashion PYTHONUNBUFFERED=1 \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0 STREAMLIT_SERVER_HEADLESS=true NVIDIA_DRIVER_CAPABILITIES=compute,utility

USER 1000:1000
EXPOSE 8501
HEALTHCHECK --start-period=30s CMD python -c "import sys, urllib.request as web; web.urlopen(sys.argv[1], timeout=5)" \
    "http://127.0.0.1:8501${STREAMLIT_SERVER_BASE_URL_PATH:+/$STREAMLIT_SERVER_BASE_URL_PATH}/_stcore/health"
CMD ["fashion-core", "app"]
