# One image for every process of ours; the command says which (infra/local/compose.yaml has them all):
#   docker build -t payments-gateway . && docker run payments-gateway python -m streams projection_worker
# The Python is the one that tests run on. What installs packages stays in the first stage.
FROM python:3.11-slim-bookworm AS packages
COPY requirements.runtime.lock /
RUN python -m venv --without-pip /opt/venv && \
    python -m pip --python /opt/venv install --no-cache-dir --only-binary :all: --require-hashes -r /requirements.runtime.lock

FROM python:3.11-slim-bookworm
RUN python -m pip uninstall --yes --root-user-action ignore wheel setuptools pip && \
    groupadd --system --gid 10001 service && \
    useradd --system --uid 10001 --gid service --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin service
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv
COPY schemas schemas
COPY commands commands
COPY projections projections
COPY infra infra
COPY streams streams
COPY api api
RUN python -m compileall -q .
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 3000
STOPSIGNAL SIGTERM
# Of the API; compose.yaml asks each worker where that listens. Liveness: a dependency that is away is no reason to be killed.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-m", "infra.alive", "http://127.0.0.1:3000/ops/liveness"]
CMD ["python", "-m", "api"]
