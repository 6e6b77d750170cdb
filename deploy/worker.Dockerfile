# syntax=docker/dockerfile:1
# Build from the repository's root: docker build -f deploy/worker.Dockerfile -t impasto-worker:0.1.0 .
#
# A slim Python image, not one of NVIDIA's: torch's wheels bring every CUDA library in the version that it was
# built with, and the NVIDIA container runtime adds the driver's. A CUDA base would be a second copy, 3 GB
# larger, of libraries that torch never loads.

# This stage is the same in both Dockerfiles, so a builder makes the wheel once.
FROM python:3.11.15-slim-bookworm AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY producer producer
COPY worker worker
COPY shared shared
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# Without our own code: a change there costs neither a download nor a push of the gigabytes below.
FROM python:3.11.15-slim-bookworm AS dependencies
COPY deploy/requirements /requirements
RUN python -m venv /opt/impasto \
    && /opt/impasto/bin/pip install --no-cache-dir --requirement /requirements/worker.txt

FROM python:3.11.15-slim-bookworm
LABEL org.opencontainers.image.title="impasto-worker" \
      org.opencontainers.image.description="Takes pairs from the queue and restyles them on one GPU" \
      org.opencontainers.image.licenses="MIT AND CC-BY-4.0"
# Python as process 1 would ignore SIGTERM until the worker has taken it over.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini=0.19.0-* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --create-home --home-dir /var/cache/impasto impasto
COPY --from=dependencies /opt/impasto /opt/impasto
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /opt/impasto/bin/pip install --no-cache-dir --no-deps /wheels/*.whl \
    && /opt/impasto/bin/pip check
COPY deploy/licenses /usr/share/doc/impasto
COPY deploy/worker_alive.py /opt/impasto/share/
ENV PATH="/opt/impasto/bin:${PATH}" \
    HOME=/var/cache/impasto \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /var/cache/impasto
USER 10001
STOPSIGNAL SIGTERM
# Healthy is a worker whose heart Redis has heard: loading the network anew, as `check` does, would take the
# memory of a second worker each time.
HEALTHCHECK --interval=30s --timeout=20s --start-period=180s --retries=3 \
    CMD ["python", "/opt/impasto/share/worker_alive.py"]
ENTRYPOINT ["tini", "--", "python", "-m", "impasto.worker"]
CMD ["run"]
