# syntax=docker/dockerfile:1
# Build from the repository's root: docker build -f deploy/producer.Dockerfile -t impasto-producer:0.1.0 .

# This stage is the same in both Dockerfiles, so a builder makes the wheel once.
FROM python:3.11.15-slim-bookworm AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY producer producer
COPY worker worker
COPY shared shared
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11.15-slim-bookworm AS dependencies
COPY deploy/requirements /requirements
RUN python -m venv /opt/impasto \
    && /opt/impasto/bin/pip install --no-cache-dir --requirement /requirements/producer.txt

FROM python:3.11.15-slim-bookworm
LABEL org.opencontainers.image.title="impasto-producer" \
      org.opencontainers.image.description="Submits, watches and fetches batches of Impasto; no torch" \
      org.opencontainers.image.licenses="MIT"
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini=0.19.0-* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --create-home --home-dir /var/cache/impasto impasto
COPY --from=dependencies /opt/impasto /opt/impasto
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /opt/impasto/bin/pip install --no-cache-dir --no-deps /wheels/*.whl \
    && /opt/impasto/bin/pip check
COPY deploy/licenses /usr/share/doc/impasto
COPY deploy/create_bucket.py /opt/impasto/share/
# Whoever runs it as another user, to own the files that `fetch` writes, has no home of their own in here.
ENV PATH="/opt/impasto/bin:${PATH}" \
    HOME=/tmp \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 10001
STOPSIGNAL SIGTERM
# For commands that last, as `watch`: whether they can still hear how far the batches are.
HEALTHCHECK --interval=60s --timeout=20s --start-period=20s --retries=3 \
    CMD ["impasto", "status", "--json"]
ENTRYPOINT ["tini", "--", "impasto"]
CMD ["--help"]
