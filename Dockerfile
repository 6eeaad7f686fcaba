FROM python:3.11-slim-bookworm AS build
WORKDIR /srv/steelyard
RUN python -m venv /opt/venv
# Wheels only: nothing is compiled, and no package runs code to be installed. The layer lasts until the lock changes.
COPY requirements.lock ./
RUN /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY workers workers
# Editable, as `make install` does it: then the files beside the code are where the code looks for them.
RUN /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation -e . \
    && /opt/venv/bin/python -m compileall -q app workers

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 steelyard \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin steelyard
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/steelyard /srv/steelyard
WORKDIR /srv/steelyard
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    STEELYARD_HOST=0.0.0.0 STEELYARD_PORT=8000
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --retries=3 --start-period=15s CMD ["python", "-c", "import http.client, os; api = http.client.HTTPConnection('127.0.0.1', int(os.environ['STEELYARD_PORT']), timeout=3); api.request('GET', '/healthz'); raise SystemExit(api.getresponse().status != 200)"]
CMD ["steelyard", "serve"]
